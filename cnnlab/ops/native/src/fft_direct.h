// Sums tap by tap, for pieces too short for transforms: part of fft_convolution.h.
#pragma once

#include <algorithm>

#include "fourier_steps.h"

namespace cnnlab {

constexpr int64_t kResults = 8;  // of a vector each, that are summed at a time

// Adds to kResults entries from `p` on (a multiple of kResults) what x has of the same and of earlier
// ones, for one vector of each entry; no later x is met. Taps of lags from 0 on; after `last_lag`
// they are zero.
inline void AddCausal(const float* x, const float* taps, int64_t p, int64_t last_lag, float* out) {
  using L = Lanes<kWidest>;
  L::Vec sum[kResults];
#pragma GCC unroll 8
  for (int i = 0; i < kResults; ++i) sum[i] = L::Load(out + (p + i) * kEntry);
  int64_t n = std::max<int64_t>(0, p - last_lag) / 2 * 2;
  for (; n < p; n += 2) {
    const L::Vec a = L::Load(x + n * kEntry), b = L::Load(x + (n + 1) * kEntry);
    const float* w = taps + (p - n) * kEntry;
    Hold(w);
    sum[0] += b * L::Load(w - kEntry);
#pragma GCC unroll 8
    for (int i = 0; i < kResults; ++i) {
      L::Vec tap = L::Load(w + i * kEntry);
      Hold(tap);
      sum[i] += a * tap;
      if (i + 1 < kResults) sum[i + 1] += b * tap;
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kResults; ++m) {
    const L::Vec a = L::Load(x + (p + m) * kEntry);
#pragma GCC unroll 8
    for (int i = m; i < kResults; ++i) sum[i] += a * L::Load(taps + (i - m) * kEntry);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kResults; ++i) L::Store(out + (p + i) * kEntry, sum[i]);
}

}  // namespace cnnlab
