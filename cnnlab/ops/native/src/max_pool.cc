#include "max_pool.h"

#include <algorithm>


namespace cnnlab {
namespace {

constexpr int64_t kLanes = 64;  // channels at a time: what is best so far stays in the first cache

using Place = std::array<int64_t, 3>;

// Number of a pixel (n, i, j, k) of a map.
int64_t Pixel(int64_t n, const Place& at, const Place& shape) {
  return ((n * shape[0] + at[0]) * shape[1] + at[1]) * shape[2] + at[2];
}

// `work(n, i, j)` for the rows of all maps of a shape, some at a time.
template <typename Work>
void ForRows(int64_t batch, const Place& shape, const Pool& pool, Work work) {
  const int64_t rows = batch * shape[0] * shape[1];
  const int64_t tasks = std::min<int64_t>(rows, int64_t{8} * pool.size());
  pool.ForEach(tasks, [&](int, int64_t task) {
    for (int64_t row = rows * task / tasks; row < rows * (task + 1) / tasks; ++row) {
      work(row / (shape[0] * shape[1]), row / shape[1] % shape[0], row % shape[1]);
    }
  });
}

// `work(entry, k)` for the entries of a window that lie in the map: where, and their number.
template <typename Work>
void ForEntries(const Pooling& p, const Place& at, Work work) {
  Place first, begin, end;
  for (int axis = 0; axis < 3; ++axis) {
    first[axis] = at[axis] * p.stride[axis] - p.low[axis];
    begin[axis] = std::max<int64_t>(0, -first[axis]);
    end[axis] = std::min(p.window[axis], p.x[axis] - first[axis]);
  }
  for (int64_t a = begin[0]; a < end[0]; ++a)
    for (int64_t b = begin[1]; b < end[1]; ++b)
      for (int64_t c = begin[2]; c < end[2]; ++c)
        work(Place{first[0] + a, first[1] + b, first[2] + c},
             (a * p.window[1] + b) * p.window[2] + c);
}

// `work(window, k)` for the windows that a pixel is an entry of, and its number there.
template <typename Work>
void ForWindows(const Pooling& p, const Place& at, Work work) {
  const auto of = [&](int axis, int64_t entry, int64_t& window) {
    const int64_t start = at[axis] + p.low[axis] - entry;
    window = start / p.stride[axis];
    return start >= 0 && start % p.stride[axis] == 0 && window < p.y[axis];
  };
  Place window;
  for (int64_t a = 0; a < p.window[0]; ++a) {
    if (!of(0, a, window[0])) continue;
    for (int64_t b = 0; b < p.window[1]; ++b) {
      if (!of(1, b, window[1])) continue;
      for (int64_t c = 0; c < p.window[2]; ++c) {
        if (of(2, c, window[2])) work(window, (a * p.window[1] + b) * p.window[2] + c);
      }
    }
  }
}

// The loops over channels know that their arrays do not overlap: compilers use vectors then.
template <typename T>
void Begin(const T* __restrict x, int32_t entry, int64_t lanes, float* __restrict best,
           int32_t* __restrict where) {
#pragma omp simd
  for (int64_t c = 0; c < lanes; ++c) best[c] = Widen(x[c]), where[c] = entry;
}

template <typename T>
void Compare(const T* __restrict x, int32_t entry, int64_t lanes, float* __restrict best,
             int32_t* __restrict where) {
#pragma omp simd
  for (int64_t c = 0; c < lanes; ++c) {
    const float value = Widen(x[c]);
    const bool nan = (value != value) & (best[c] == best[c]);
    const bool take = (value > best[c]) | nan;
    best[c] = take ? value : best[c];
    where[c] = take ? entry : where[c];
  }
}

template <typename T>
void End(const float* __restrict best, const int32_t* __restrict where, int64_t lanes,
         T* __restrict y, uint8_t* __restrict index) {
#pragma omp simd
  for (int64_t c = 0; c < lanes; ++c) Narrow(best[c], y[c]);
#pragma omp simd
  for (int64_t c = 0; c < lanes; ++c) index[c] = static_cast<uint8_t>(where[c]);
}

template <typename T>
void AddWhere(const uint8_t* __restrict index, uint8_t entry, const T* __restrict dy, int64_t lanes,
              float* __restrict sum) {
  const auto add = [=](int64_t c) {
    const float value = Widen(dy[c]);  // read in any case: nobody could foresee a branch
    sum[c] += index[c] == entry ? value : 0.f;
  };
  // A vector of bytes is 32 or 64 channels: what is less would go one by one.
  if (lanes % 32 == 0) {
#pragma omp simd
    for (int64_t c = 0; c < lanes; ++c) add(c);
  } else {
#pragma omp simd simdlen(8)
    for (int64_t c = 0; c < lanes; ++c) add(c);
  }
}

template <typename T>
void Store(const float* __restrict sum, int64_t lanes, T* __restrict dx) {
#pragma omp simd
  for (int64_t c = 0; c < lanes; ++c) Narrow(sum[c], dx[c]);
}

}  // namespace

template <typename T>
void MaxPool(const Pooling& p, const T* x, T* y, uint8_t* index, const Pool& pool) {
  ForRows(p.batch, p.y, pool, [&](int64_t n, int64_t i, int64_t j) {
    float best[kLanes];
    int32_t where[kLanes];
    for (int64_t k = 0; k < p.y[2]; ++k) {
      const int64_t to = Pixel(n, {i, j, k}, p.y) * p.channels;
      for (int64_t lane = 0; lane < p.channels; lane += kLanes) {
        const int64_t lanes = std::min(kLanes, p.channels - lane);
        bool first = true;
        ForEntries(p, {i, j, k}, [&](const Place& at, int64_t number) {
          const T* from = x + Pixel(n, at, p.x) * p.channels + lane;
          const auto entry = static_cast<int32_t>(number);
          first ? Begin(from, entry, lanes, best, where) : Compare(from, entry, lanes, best, where);
          first = false;
        });
        End(best, where, lanes, y + to + lane, index + to + lane);
      }
    }
  });
}

template <typename T>
void MaxPoolGradient(const Pooling& p, const T* dy, const uint8_t* index, T* dx,
                     const Pool& pool) {
  ForRows(p.batch, p.x, pool, [&](int64_t n, int64_t i, int64_t j) {
    float sum[kLanes];
    for (int64_t k = 0; k < p.x[2]; ++k) {
      const int64_t to = Pixel(n, {i, j, k}, p.x) * p.channels;
      for (int64_t lane = 0; lane < p.channels; lane += kLanes) {
        const int64_t lanes = std::min(kLanes, p.channels - lane);
        std::fill_n(sum, lanes, 0.f);
        ForWindows(p, {i, j, k}, [&](const Place& window, int64_t number) {
          const int64_t from = Pixel(n, window, p.y) * p.channels + lane;
          AddWhere(index + from, static_cast<uint8_t>(number), dy + from, lanes, sum);
        });
        Store(sum, lanes, dx + to + lane);
      }
    }
  });
}

template void MaxPool(const Pooling&, const float*, float*, uint8_t*, const Pool&);
template void MaxPool(const Pooling&, const Bfloat16*, Bfloat16*, uint8_t*, const Pool&);
template void MaxPoolGradient(const Pooling&, const float*, const uint8_t*, float*, const Pool&);
template void MaxPoolGradient(const Pooling&, const Bfloat16*, const uint8_t*, Bfloat16*,
                              const Pool&);

}  // namespace cnnlab
