// The kernel's spectra and the products with them: part of fft_convolution.h.
#pragma once

#include <algorithm>
#include <vector>

#include "fft_map.h"

namespace cnnlab {

// The kernel's part in the plan, of one vector of groups.
struct Spectra {
  const Map& map;
  const FftPlan& plan;
  std::vector<int64_t> at;  // where each level's begin, then that of the direct taps, then the end

  Spectra(const Map& m, const FftPlan& p) : map(m), plan(p), at{0} {
    const int64_t products = m.rows * m.columns;
    for (const Level& l : p.levels) {
      at.push_back(at.back() + std::max<int64_t>(l.windows(), 0) * products * 2 * l.h * kEntry);
    }
    at.push_back(at.back() + products * p.direct * kWidest);
  }
  int64_t size() const { return at.back(); }
  int64_t windows() const {
    int64_t sum = 0;
    for (const Level& l : plan.levels) sum += std::max<int64_t>(l.windows(), 0);
    return sum;
  }
  // The spectrum of window number `w` of a level, in two halves of h entries.
  int64_t Place(const Level& l, int64_t w, int64_t row, int64_t column) const {
    return ((w * map.rows + row) * map.columns + column) * 2 * l.h * kEntry;
  }
  // The spectrum of one of the windows, and the taps that are summed one by one; of the vector of
  // groups number `block`, into its `all`.
  void Fill(const float* kernel, int64_t block, int64_t window, float* all) const;
  void FillDirect(const float* kernel, int64_t block, float* all) const;
};

constexpr int64_t kChunk = 8;  // frequencies that are multiplied at a time

// The rows of the input's spectra become those of the result, of one parity. `copies`: a chunk of
// each row.
void Multiply(const Level& l, const Spectra& s, const float* spectra, int64_t parity, float* z,
              float* copies);

}  // namespace cnnlab
