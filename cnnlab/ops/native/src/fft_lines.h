// Spectra that meet in products of matrices, one for each frequency: part of fft_dense.h.
#pragma once

#include "fft_spectra.h"

namespace cnnlab {

constexpr int64_t kLine = kChunk * Both::kSize;

// Spectra of `lines` complex sequences, chunk by chunk of their frequencies; a line is one sequence's
// part of a chunk.
struct Lines {
  const Fourier* fourier;
  int64_t lines;

  int64_t chunks(int parity) const {
    return (static_cast<int64_t>(fourier->mirrors(parity).size()) + kChunk - 1) / kChunk;
  }
  int64_t chunks() const { return chunks(0) + chunks(1); }
  // From a chunk to the next, not a multiple of what caches go by.
  int64_t pitch() const { return (lines | 1) * kLine; }
  int64_t size() const { return chunks() * pitch(); }
  // The frequencies of a chunk.
  int64_t Frequencies(int64_t chunk) const {
    const int parity = chunk >= chunks(0);
    const auto size = static_cast<int64_t>(fourier->mirrors(parity).size());
    return std::min(kChunk, size - (chunk - parity * chunks(0)) * kChunk);
  }

  // Of a sequence's transform, from its even and its odd frequencies; and back to them.
  void Keep(const float* const (&z)[2], int64_t line, float scale, float* all) const {
    Each(line, all, [&](int parity, Fourier::Mirror m, float* at) {
      Both::Part(z[parity], m, at, scale);
    });
  }
  void Bring(float* all, int64_t line, float* const (&z)[2]) const {
    Each(line, all, [&](int parity, Fourier::Mirror m, float* at) {
      Both::Join(Complex::Load(at), Complex::Load(at + kEntry), z[parity], m);
    });
  }

 private:
  template <typename Run>
  void Each(int64_t line, float* all, const Run& run) const {
    for (int parity = 0; parity < 2; ++parity) {
      float* at = all + parity * chunks(0) * pitch() + line * kLine;
      const auto& mirrors = fourier->mirrors(parity);
      const auto size = static_cast<int64_t>(mirrors.size());
      for (int64_t f = 0; f < size; f += kChunk, at += pitch()) {
        for (int64_t k = 0; k < std::min(kChunk, size - f); ++k) {
          run(parity, mirrors[f + k], at + k * Both::kSize);
        }
      }
    }
  }
};

}  // namespace cnnlab
