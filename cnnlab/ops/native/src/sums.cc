#include "sums.h"

#include <algorithm>
#include <numeric>

#include "scratch.h"

namespace cnnlab {
namespace {

constexpr int64_t kPart = int64_t{1} << 15;  // numbers: some microseconds, and short sums
constexpr int64_t kLine = 64;                // columns: several vectors

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

float Row(const float* x, int64_t count) {
  float sum = 0.f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += x[i];
  return sum;
}

// sums[j] = the sum of column j of `rows` rows.
void Columns(const float* x, int64_t rows, int64_t columns, float* sums) {
  std::fill_n(sums, columns, 0.f);
  int64_t row = 0;
  for (; row + 8 <= rows; row += 8, x += 8 * columns) {  // a sum is read and written once in eight
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) {
      const float* at = x + j;
      const float a = at[0] + at[columns], b = at[2 * columns] + at[3 * columns];
      const float c = at[4 * columns] + at[5 * columns], d = at[6 * columns] + at[7 * columns];
      sums[j] += (a + b) + (c + d);
    }
  }
  for (; row < rows; ++row, x += columns) {
#pragma omp simd
    for (int64_t j = 0; j < columns; ++j) sums[j] += x[j];
  }
}

// `sum(first, last, to)`: of the rows from `first` to `last`, `width` sums. The parts' are added up.
template <typename Sum>
void InParts(int64_t rows, int64_t length, int64_t width, float* sums, const Pool& pool,
             const Sum& sum) {
  const int64_t size = std::max<int64_t>(1, kPart / std::max<int64_t>(length, 1));
  const int64_t parts = CeilDiv(rows, size);
  const Scratch scratch(ScratchPool::Shared(), parts * width * sizeof(float));
  auto* each = reinterpret_cast<float*>(scratch.data());
  pool.ForEach(parts, [&](int, int64_t part) {
    sum(part * size, std::min(rows, (part + 1) * size), each + part * width);
  });
  Columns(each, parts, width, sums);
}

// Of rows (count, columns); narrow ones several side by side, as one.
void SumColumns(const float* x, int64_t rows, int64_t columns, float* sums, const Pool& pool) {
  int64_t beside = 1;
  while (2 * beside * columns <= kLine && rows % (2 * beside) == 0) beside *= 2;
  const int64_t width = beside * columns;
  const Scratch scratch(ScratchPool::Shared(), width * sizeof(float));
  auto* wide = reinterpret_cast<float*>(scratch.data());
  InParts(rows / beside, width, width, wide, pool, [&](int64_t first, int64_t last, float* to) {
    Columns(x + first * width, last - first, width, to);
  });
  Columns(wide, beside, columns, sums);
}

// Of all numbers.
void SumAll(const float* x, int64_t count, float* sum, const Pool& pool) {
  constexpr int64_t kRow = 4096;
  InParts(CeilDiv(count, kRow), kRow, 1, sum, pool, [&](int64_t first, int64_t last, float* to) {
    *to = Row(x + first * kRow, std::min(count, last * kRow) - first * kRow);
  });
}

// Of (outer, kept, inner), a few of the kept at a time: what they have in common is added up first,
// while it is long enough to stay in a cache.
void SumBoth(const float* x, int64_t outer, int64_t kept, int64_t inner, float* sums,
             const Pool& pool) {
  constexpr int64_t kShort = 2048;  // numbers
  const int64_t few = std::clamp<int64_t>(kShort / inner, 1, kept), width = few * inner;
  pool.ForEach(CeilDiv(kept, few), [&](int, int64_t part) {
    const int64_t first = part * few, count = std::min(few, kept - first);
    const float* from = x + first * inner;
    if (inner > kShort || outer == 1) {
      std::fill_n(sums + first, count, 0.f);
      for (int64_t i = 0; i < outer; ++i) {
        for (int64_t k = 0; k < count; ++k) {
          sums[first + k] += Row(from + (i * kept + k) * inner, inner);
        }
      }
      return;
    }
    float together[kShort];
    std::fill_n(together, width, 0.f);
    for (int64_t i = 0; i < outer; ++i) {
      const float* row = from + i * kept * inner;
#pragma omp simd
      for (int64_t j = 0; j < count * inner; ++j) together[j] += row[j];
    }
    for (int64_t k = 0; k < count; ++k) sums[first + k] = Row(together + k * inner, inner);
  });
}

void SumOne(const float* x, int64_t outer, int64_t kept, int64_t inner, float* sums,
            const Pool& pool) {
  if (kept == 1) return SumAll(x, outer * inner, sums, pool);
  if (inner == 1) return SumColumns(x, outer, kept, sums, pool);
  SumBoth(x, outer, kept, inner, sums, pool);
}

}  // namespace

void Sums(const float* x, int64_t each, int64_t outer, int64_t kept, int64_t inner, float* sums,
          const Pool& pool) {
  const auto one = [&](int64_t i, const Pool& helpers) {
    SumOne(x + i * outer * kept * inner, outer, kept, inner, sums + i * kept, helpers);
  };
  if (each < pool.size()) {
    for (int64_t i = 0; i < each; ++i) one(i, pool);
  } else {
    pool.ForEach(each, [&](int, int64_t i) { one(i, Pool(1, nullptr)); });
  }
}

}  // namespace cnnlab
