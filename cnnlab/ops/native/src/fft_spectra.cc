#include "fft_spectra.h"

#include "lanes.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;
using Vec = L::Vec;

}  // namespace

void Spectra::Fill(const float* kernel, int64_t block, int64_t window, float* all) const {
  size_t level = 0;
  while (window >= std::max<int64_t>(plan.levels[level].windows(), 0)) {
    window -= std::max<int64_t>(plan.levels[level++].windows(), 0);
  }
  const Level& l = plan.levels[level];
  const int64_t first = (l.first_window + window - 1) * l.h - plan.shift;
  for (int64_t row = 0; row < map.rows; ++row) {
    for (int64_t column = 0; column < map.columns; ++column) {
      float* even = all + at[level] + Place(l, window, row, column);
      float* odd = even + l.h * kEntry;
      for (int64_t u = 0; u < l.h; ++u) {
        const Vec a = map.Weights(kernel, first + u, row, column, block);
        const Vec b = map.Weights(kernel, first + l.h + u, row, column, block);
        L::Store(even + u * kEntry, a + b);
        L::Store(even + u * kEntry + kWidest, Vec{});
        L::Store(odd + u * kEntry, a - b);
        L::Store(odd + u * kEntry + kWidest, Vec{});
      }
      l.fourier->Twist(odd);
      l.fourier->Forward(even);
      l.fourier->Forward(odd);
    }
  }
}

void Spectra::FillDirect(const float* kernel, int64_t block, float* all) const {
  float* taps = all + at[plan.levels.size()];
  for (int64_t i = 0; i < map.rows * map.columns; ++i) {
    for (int64_t lag = 0; lag < plan.direct; ++lag, taps += kWidest) {
      L::Store(taps, map.Weights(kernel, lag, i / map.columns, i % map.columns, block));
    }
  }
}

void Multiply(const Level& l, const Spectra& s, const float* spectra, int64_t parity, float* z,
              float* copies) {
  const int64_t rows = s.map.rows, columns = s.map.columns;
  const int64_t next = s.Place(l, 1, 0, 0);  // window
  for (int64_t f = 0; f < l.h; f += kChunk) {
    const int64_t count = std::min(kChunk, l.h - f);
    for (int64_t i = 0; i < rows * l.inputs; ++i) {
      std::copy_n(z + i * l.row() + f * kEntry, count * kEntry, copies + i * kChunk * kEntry);
    }
    for (int64_t column = 0; column < columns; ++column) {
      for (int64_t j = 0; j < l.outputs; ++j) {
        float* to = z + (column * l.outputs + j) * l.row() + f * kEntry;
        const int64_t block = l.first_output + j;
        const int64_t begin = std::max(l.first_window, block - l.inputs + 1);
        const int64_t end = std::min(l.last_window, block);
        for (int64_t k = 0; k < count; ++k, to += kEntry) {
          Vec re{}, im{};
          for (int64_t row = 0; row < rows; ++row) {
            const float* x = copies + ((row * l.inputs + block - begin) * kChunk + k) * kEntry;
            const float* w = spectra + s.Place(l, begin - l.first_window, row, column) +
                             (parity * l.h + f + k) * kEntry;
            for (int64_t d = begin; d <= end; ++d, x -= kChunk * kEntry, w += next) {
              const Vec xr = L::Load(x), xi = L::Load(x + kWidest);
              const Vec wr = L::Load(w), wi = L::Load(w + kWidest);
              re += xr * wr - xi * wi;
              im += xr * wi + xi * wr;
            }
          }
          L::Store(to, re);
          L::Store(to + kWidest, im);
        }
      }
    }
  }
}

}  // namespace cnnlab
