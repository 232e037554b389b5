// The kernel's spectra and the products with them: part of fft_convolution.h.
#pragma once

#include <algorithm>
#include <vector>

#include "fft_map.h"
#include "fft_share.h"

namespace cnnlab {

// Of a complex sequence a + i b of two real ones, both spectra at a frequency: those at its negative
// are their conjugates.
struct Both {
  static constexpr int64_t kSize = 2 * kEntry;

  // From an entry and its mirror to twice both spectra, times a factor, and back from both.
  static void Part(const float* z, Fourier::Mirror m, float* to, float scale = 1) {
    const Complex v = Complex::Load(z + m.at * kEntry), w = Complex::Load(z + m.other * kEntry);
    (scale * Complex{v.re + w.re, v.im - w.im}).Store(to);
    (scale * Complex{v.im + w.im, w.re - v.re}).Store(to + kEntry);
  }
  static void Join(Complex a, Complex b, float* z, Fourier::Mirror m) {
    Complex{a.re - b.im, a.im + b.re}.Store(z + m.at * kEntry);
    Complex{a.re + b.im, b.re - a.im}.Store(z + m.other * kEntry);
  }
};

constexpr int64_t kChunk = 4;  // frequencies that are multiplied at a time

// The spectra of a level's windows, of all products of rows and columns, in the order in which they
// are multiplied.
struct WindowSpectra {
  const Level& level;
  int64_t rows, columns;

  int64_t windows() const { return std::max<int64_t>(level.windows(), 0); }
  int64_t chunks(int parity) const {
    return (static_cast<int64_t>(level.fourier->mirrors(parity).size()) + kChunk - 1) / kChunk;
  }
  int64_t chunk_size() const { return rows * columns * windows() * kChunk * Both::kSize; }
  int64_t size() const { return windows() == 0 ? 0 : (chunks(0) + chunks(1)) * chunk_size(); }

  // Of a chunk, in floats; further frequencies of it lie behind that.
  int64_t Place(int parity, int64_t chunk, int64_t row, int64_t column, int64_t window) const {
    const int64_t product = ((chunk + parity * chunks(0)) * rows + row) * columns + column;
    return (product * windows() + window) * kChunk * Both::kSize;
  }
  // Calls `run(place, mirror)` for all frequencies of a window.
  template <typename Run>
  void Each(int parity, int64_t row, int64_t column, int64_t window, const Run& run) const {
    const auto& mirrors = level.fourier->mirrors(parity);
    for (size_t f = 0; f < mirrors.size(); ++f) {
      const auto at = static_cast<int64_t>(f);
      run(Place(parity, at / kChunk, row, column, window) + at % kChunk * Both::kSize, mirrors[f]);
    }
  }
};

// The kernel's part in the plan, of one block of groups.
struct Spectra {
  const Map& map;
  const FftPlan& plan;
  std::vector<int64_t> at;  // where each level's begin, then that of the direct taps, then the end

  Spectra(const Map& m, const FftPlan& p) : map(m), plan(p), at{0} {
    for (const Level& l : p.levels) at.push_back(at.back() + Of(l).size());
    at.push_back(at.back() + m.rows * m.columns * p.direct * kEntry);
  }
  int64_t size() const { return at.back(); }
  WindowSpectra Of(const Level& l) const { return {l, map.rows, map.columns}; }
  int64_t windows() const {
    int64_t sum = 0;
    for (const Level& l : plan.levels) sum += Of(l).windows();
    return sum;
  }
  // The spectrum of one of the windows, and the taps that are summed one by one; of block number
  // `block`, into its `all`. `z`: 2 h entries.
  void Fill(float* kernel, int64_t block, int64_t window, float* z, float* all) const;
  void FillDirect(float* kernel, int64_t block, float* all) const;
};

// The rows of the input's spectra become those of the result, of one parity. `copies`: a chunk of
// each row.
void Multiply(const WindowSpectra& s, const float* spectra, int parity, Share share, float* z,
              float* copies);

}  // namespace cnnlab
