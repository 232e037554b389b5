#include "channels_first.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernel_gradient.h"
#include "position_tiles.h"
#include "scratch.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;
using Vec = L::Vec;

// Results of so many channels, at so many positions, are summed in registers.
#ifdef __AVX512F__
constexpr int kMostRows = 12;
#else
constexpr int kMostRows = 6;
#endif
constexpr int64_t kPanel = 2 * kWidest;
constexpr int64_t kPanels = 4;  // of a tile

// The pass as a product: rows are channels of the result, terms are taps of channels of the input.
struct Map {
  int64_t n, in, length, out, positions, taps;
  int64_t first, step;        // the first tap of position 0, and how far on the next ones lie
  int64_t of_term, of_row;    // steps in the kernel

  Map(Pass pass, const Convolution& p) : n(p.x[0]), taps(p.kernel[0]) {
    const bool forward = pass == Pass::kForward;
    const auto &from = forward ? p.x : p.y, &to = forward ? p.y : p.x;
    length = from[1];
    in = from[2];
    positions = to[1];
    out = to[2];
    first = forward ? -p.low[0] : p.low[0];
    step = forward ? p.dilation[0] : -p.dilation[0];
    of_term = forward ? p.kernel[2] : 1;
    of_row = forward ? 1 : p.kernel[2];
  }
  int64_t terms() const { return taps * in; }
};

// y[r, :] = sum over the terms of weights[term, r] panel[term, :].
template <int kRows>
void Multiply(const float* weights, const float* panel, int64_t terms, float* y, int64_t apart) {
  Vec sum[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = Vec{};
  for (int64_t term = 0; term < terms; ++term, weights += kRows, panel += kPanel) {
    const Vec a = L::Load(panel), b = L::Load(panel + kWidest);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] += weights[r] * a;
      sum[r][1] += weights[r] * b;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    L::Store(y + r * apart, sum[r][0]);
    L::Store(y + r * apart + kWidest, sum[r][1]);
  }
}

template <int... kRows>
constexpr auto Multiplies(std::integer_sequence<int, kRows...>) {
  return std::array{&Multiply<kRows + 1>...};
}

// The rows, as even as may be.
struct Block {
  int64_t first, rows;

  Block(const Map& m, int64_t blocks, int64_t number) : first(m.out * number / blocks) {
    rows = m.out * (number + 1) / blocks - first;
  }
};

// (block, term, row) of the kernel.
void Pack(const Map& m, const float* kernel, int64_t blocks, float* weights) {
  for (int64_t number = 0; number < blocks; ++number) {
    const Block block(m, blocks, number);
    for (int64_t tap = 0; tap < m.taps; ++tap) {
      for (int64_t i = 0; i < m.in; ++i) {
        const float* from = kernel + tap * m.in * m.out + i * m.of_term + block.first * m.of_row;
        for (int64_t r = 0; r < block.rows; ++r) *weights++ = from[r * m.of_row];
      }
    }
  }
}

// (panel, term, position) of what the tile that begins at `begin` reads of an image.
void Read(const Map& m, const float* x, int64_t begin, int64_t panels, float* to) {
  for (int64_t tap = 0; tap < m.taps; ++tap) {
    const int64_t at = begin + m.first + tap * m.step;
    const bool inside = at >= 0 && at + panels * kPanel <= m.length;
    for (int64_t i = 0; i < m.in; ++i, to += kPanel) {
      const float* row = x + i * m.length;
      for (int64_t panel = 0; panel < panels; ++panel) {
        float* into = to + panel * m.terms() * kPanel;
        const int64_t first = at + panel * kPanel;
        if (inside) {
          L::Store(into, L::Load(row + first));
          L::Store(into + kWidest, L::Load(row + first + kWidest));
          continue;
        }
        for (int64_t k = 0; k < kPanel; ++k) {
          into[k] = first + k >= 0 && first + k < m.length ? row[first + k] : 0.f;
        }
      }
    }
  }
}

void Run(const Map& m, const float* x, const float* kernel, float* y, int threads) {
  static constexpr auto kMultiply = Multiplies(std::make_integer_sequence<int, kMostRows>());
  const int64_t blocks = CeilDiv(m.out, kMostRows), tile = kPanels * kPanel;
  const int64_t tiles = CeilDiv(m.positions, tile), terms = m.terms();
  const int64_t weights_size = Whole(terms * m.out, 16), own = terms * tile;
  const Scratch scratch(ScratchPool::Shared(), (weights_size + threads * own) * sizeof(float));
  auto* weights = reinterpret_cast<float*>(scratch.data());
  Pack(m, kernel, blocks, weights);
#pragma omp parallel num_threads(threads)
  {
    float* read = weights + weights_size + omp_get_thread_num() * own;
    float rest[kMostRows * kPanel];
#pragma omp for schedule(static)
    for (int64_t number = 0; number < m.n * tiles; ++number) {
      const int64_t image = number / tiles, begin = number % tiles * tile;
      const int64_t count = std::min(tile, m.positions - begin), panels = CeilDiv(count, kPanel);
      Read(m, x + image * m.in * m.length, begin, panels, read);
      for (int64_t b = 0; b < blocks; ++b) {
        const Block block(m, blocks, b);
        const auto multiply = kMultiply[block.rows - 1];
        const float* factors = weights + block.first * terms;
        float* rows = y + (image * m.out + block.first) * m.positions + begin;
        for (int64_t panel = 0; panel < panels; ++panel) {
          const float* from = read + panel * terms * kPanel;
          const int64_t at = panel * kPanel, left = count - at;
          if (left >= kPanel) {
            multiply(factors, from, terms, rows + at, m.positions);
            continue;
          }
          multiply(factors, from, terms, rest, kPanel);
          for (int64_t r = 0; r < block.rows; ++r) {
            std::copy_n(rest + r * kPanel, left, rows + r * m.positions + at);
          }
        }
      }
    }
  }
}

}  // namespace

void ConvolveChannelsFirst(Pass pass, const Convolution& p, const float* a, const float* b,
                           float* out) {
  if (pass == Pass::kKernelGradient) return KernelGradient(p, a, b, out, true);
  const Team team(HelpersFor(p));
  Run(Map(pass, p), a, b, out, team.size());
}

}  // namespace cnnlab
