#include "fft_spectra.h"

namespace cnnlab {
namespace {

constexpr int64_t kNext = kChunk * Both::kSize;  // from one window, or block, to the next

// Adds to the sums from number kFirst to kLast, of as many consecutive blocks of results, the products
// of `count` windows with the blocks of inputs that they meet: the first window with the block at `x`
// and the next, then later windows with earlier blocks.
template <int kFirst, int kLast, int kResults>
[[gnu::always_inline]] inline void AddProducts(const float* x, const float* w, int64_t count,
                                               Complex (&sums)[kResults][2]) {
  for (; count > 0; --count, x -= kNext, w += kNext) {
#pragma GCC unroll 2
    for (int part = 0; part < 2; ++part) {
      Complex v = Complex::Load(w + part * kEntry);
      Hold(v);
#pragma GCC unroll 2
      for (int i = kFirst; i <= kLast; ++i) {
        Complex u = Complex::Load(x + (i - kFirst) * kNext + part * kEntry);
        Hold(u);
        Complex& sum = sums[i][part];
        sum.re += u.re * v.re;
        sum.im += u.re * v.im;
        sum.re -= u.im * v.im;
        sum.im += u.im * v.re;
      }
    }
  }
}

// One chunk of a level's products.
struct Products {
  const WindowSpectra& s;
  const float* spectra;  // of the chunk
  const float* copies;
  const Fourier::Mirror* at;
  int64_t count;  // frequencies
  float* z;

  // The windows of a block of results: all that join it to a block of inputs.
  int64_t Begin(int64_t block) const {
    return std::max(s.level.first_window, block - s.level.inputs + 1);
  }
  int64_t End(int64_t block) const { return std::min(s.level.last_window, block) + 1; }

  // The results of blocks number j to j + kResults - 1, of one or two.
  template <int kResults>
  void Results(int64_t column, int64_t j) const {
    const Level& l = s.level;
    const int64_t first = l.first_output + j, last = first + kResults - 1;
    const int64_t begin = Begin(last), end = End(first);  // of the windows that all of them have
    // One window more of the first block, or of the last.
    const int64_t lowest = Begin(first), highest = End(last) - 1;
    const bool before = lowest < std::min(begin, end), behind = highest >= std::max(begin, end);
    for (int64_t k = 0; k < count; ++k) {
      Complex sums[kResults][2]{};
      for (int64_t row = 0; row < s.rows; ++row) {
        const float* const x = copies + row * l.inputs * kNext + k * Both::kSize;
        const float* const w = spectra + s.Place(0, 0, row, column, 0) + k * Both::kSize;
        const auto input = [&](int64_t block) { return x + block * kNext; };
        const auto window = [&](int64_t d) { return w + (d - l.first_window) * kNext; };
        AddProducts<0, kResults - 1>(input(first - begin), window(begin), end - begin, sums);
        if (kResults == 1) continue;
        if (before) AddProducts<0, 0>(input(first - lowest), window(lowest), 1, sums);
        if (behind) {
          AddProducts<kResults - 1, kResults - 1>(input(last - highest), window(highest), 1, sums);
        }
      }
#pragma GCC unroll 2
      for (int r = 0; r < kResults; ++r) {
        Both::Join(sums[r][0], sums[r][1], z + (column * l.outputs + j + r) * l.row(), at[k]);
      }
    }
  }
};

}  // namespace

void Spectra::Fill(float* kernel, int64_t block, int64_t window, float* z, float* all) const {
  size_t level = 0;
  while (window >= Of(plan.levels[level]).windows()) window -= Of(plan.levels[level++]).windows();
  const Level& l = plan.levels[level];
  const int64_t first = (l.first_window + window - 1) * l.h - plan.shift;
  // Both parts of a product are twice, and the transform back is 2 h times too large.
  const float scale = 0.125f / static_cast<float>(l.h);
  for (int64_t row = 0; row < map.rows; ++row) {
    for (int64_t column = 0; column < map.columns; ++column) {
      const Strand taps = map.Weights(kernel, block, row, column);
      float* const parts[] = {z, z + l.h * kEntry};
      const auto source = [&](int64_t u, auto parity) {
        const Complex a = taps.Load(map.PositionOf(first + u));
        const Complex b = taps.Load(map.PositionOf(first + l.h + u));
        return parity == 0 ? a + b : a - b;
      };
      l.fourier->Forward(source, parts[0], parts[1]);
      for (int parity = 0; parity < 2; ++parity) {
        const auto part = [&](int64_t place, Fourier::Mirror m) {
          Both::Part(parts[parity], m, all + at[level] + place, scale);
        };
        Of(l).Each(parity, row, column, window, part);
      }
    }
  }
}

void Spectra::FillDirect(float* kernel, int64_t block, float* all) const {
  float* to = all + at[plan.levels.size()];
  for (int64_t i = 0; i < map.rows * map.columns; ++i) {
    const Strand taps = map.Weights(kernel, block, i / map.columns, i % map.columns);
    for (int64_t lag = 0; lag < plan.direct; ++lag, to += kEntry) {
      taps.Load(map.PositionOf(lag)).Store(to);
    }
  }
}

void Multiply(const WindowSpectra& s, const float* spectra, int parity, Share share, float* z,
              float* copies) {
  const Level& l = s.level;
  const auto& mirrors = l.fourier->mirrors(parity);
  const auto size = static_cast<int64_t>(mirrors.size());
  for (int64_t chunk = share.Begin(s.chunks(parity)); chunk < share.End(s.chunks(parity)); ++chunk) {
    const int64_t f = chunk * kChunk;
    const Fourier::Mirror* const at = &mirrors[f];
    const int64_t count = std::min(kChunk, size - f);
    for (int64_t i = 0; i < s.rows * l.inputs; ++i) {
      for (int64_t k = 0; k < count; ++k) {
        const float* const row = z + i * l.row();
        Both::Part(row, at[k], copies + (i * kChunk + k) * Both::kSize);
        if (f + kChunk + k >= size) continue;
        __builtin_prefetch(row + at[kChunk + k].at * kEntry, 1);
        __builtin_prefetch(row + at[kChunk + k].other * kEntry, 1);
      }
    }
    const float* const w = spectra + s.Place(parity, chunk, 0, 0, 0);
    const Products products{s, w, copies, at, count, z};
    for (int64_t column = 0; column < s.columns; ++column) {
      int64_t j = 0;
      for (; j + 1 < l.outputs; j += 2) products.Results<2>(column, j);
      if (j < l.outputs) products.Results<1>(column, j);
    }
  }
}

}  // namespace cnnlab
