// The largest entry of each window, where it is, and the transpose. Knows nothing of XLA.
#pragma once

#include <array>
#include <cstdint>

#include "bfloat16.h"
#include "pool.h"

namespace cnnlab {

// Channels last, three spatial axes: fewer have axes of length 1 beside them.
struct Pooling {
  int64_t batch, channels;
  std::array<int64_t, 3> x, y, window, stride, low;
};

// `index` is where in its window the largest is, in row-major order, the first of several; a NaN is
// larger than any number. Padding is not looked at. Windows have at most 256 entries.
// T is float or Bfloat16.
template <typename T>
void MaxPool(const Pooling& p, const T* x, T* y, uint8_t* index, const Pool& pool);

// Every entry of `dy` to the place that its window's maximum came from. Sums are of floats.
template <typename T>
void MaxPoolGradient(const Pooling& p, const T* dy, const uint8_t* index, T* dx,
                     const Pool& pool);

}  // namespace cnnlab
