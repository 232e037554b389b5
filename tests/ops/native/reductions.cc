// Max-pooling and sums beside plain loops, in arrays of exactly the right size.
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "bfloat16.h"
#include "driver.h"
#include "max_pool.h"
#include "sums.h"

using cnnlab::Widen;

namespace {

// Max-pooling of one map by 3x3 windows, padded by 1, and its transpose: value by value, in arrays
// of exactly the right size. T is float or Bfloat16, of which small whole numbers are exact.
template <typename T>
bool PoolsRight(int64_t batch, int64_t h, int64_t w, int64_t channels, int64_t stride) {
  const int64_t rows = (h - 1) / stride + 1, columns = (w - 1) / stride + 1;
  const cnnlab::Pooling p{batch,     channels,  {1, h, w}, {1, rows, columns},
                          {1, 3, 3}, {1, stride, stride}, {0, 1, 1}};
  Lcg next;
  std::vector<T> x(batch * h * w * channels), y(batch * rows * columns * channels), dy(y.size());
  for (auto* values : {&x, &dy}) {
    for (auto& v : *values) cnnlab::Narrow(std::round(9 * next()), v);
  }
  std::vector<uint8_t> index(y.size());
  std::vector<T> dx(x.size());
  for (auto& v : dx) cnnlab::Narrow(kUntouched, v);
  std::vector<float> expected(x.size(), 0.f);
  WithHelpers([&](const auto& pool) {
    cnnlab::MaxPool(p, x.data(), y.data(), index.data(), pool);
  });
  WithHelpers([&](const auto& pool) {
    cnnlab::MaxPoolGradient(p, dy.data(), index.data(), dx.data(), pool);
  });
  bool right = true;
  for (size_t to = 0; to < y.size(); ++to) {
    const int64_t c = to % channels, pixel = to / channels;
    const int64_t j = pixel % columns, i = pixel / columns % rows, n = pixel / columns / rows;
    int64_t best = -1, number = -1;
    for (int64_t k = 0; k < 9; ++k) {
      const int64_t u = i * stride + k / 3 - 1, v = j * stride + k % 3 - 1;
      if (u < 0 || v < 0 || u >= h || v >= w) continue;
      const int64_t at = ((n * h + u) * w + v) * channels + c;
      if (best < 0 || Widen(x[at]) > Widen(x[best])) best = at, number = k;
    }
    right &= Widen(y[to]) == Widen(x[best]) && index[to] == number;
    expected[best] += Widen(dy[to]);
  }
  for (size_t i = 0; i < x.size(); ++i) right &= Widen(dx[i]) == expected[i];
  return right;
}

// Sums over the second and the last of four axes, of arrays of exactly their size.
bool SumsRight(int64_t each, int64_t outer, int64_t kept, int64_t inner) {
  Lcg next;
  std::vector<float> x(each * outer * kept * inner), sums(each * kept + 1, kUntouched);
  std::vector<double> expected(each * kept, 0.0);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = next();
    expected[i / (outer * kept * inner) * kept + i / inner % kept] += x[i];
  }
  WithHelpers([&](const auto& pool) {
    cnnlab::Sums(x.data(), each, outer, kept, inner, sums.data(), pool);
  });
  bool right = sums.back() == kUntouched;
  for (int64_t k = 0; k < each * kept; ++k) right &= std::fabs(sums[k] - expected[k]) < 1e-3;
  if (!right) {
    std::printf("sums of (%ld, %ld, %ld, %ld)\n", long(each), long(outer), long(kept), long(inner));
  }
  return right;
}

}  // namespace

void CheckReductions(Tally& tally) {
  const std::vector<std::array<int64_t, 4>> shapes = {
      {1, 1100, 70, 1}, {1, 4096, 3, 1},   {1, 1, 90, 900}, {1, 9, 33, 20},
      {1, 7, 3, 2100},  {1, 5, 1, 9999}, {5, 40, 9, 1},   {2, 30, 8, 100}};
  for (const auto& [each, outer, kept, inner] : shapes) {
    tally.Add(SumsRight(each, outer, kept, inner));
  }
  for (int64_t stride : {1, 2, 3}) {
    tally.Add(PoolsRight<float>(2, 7, 6, 70, stride));
    tally.Add(PoolsRight<cnnlab::Bfloat16>(2, 7, 6, 70, stride));
  }
}
