#include "channels_first.h"

#include <algorithm>

#include "kernel_gradient.h"
#include "panels.h"
#include "position_tiles.h"
#include "scratch.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;
using Vec = L::Vec;

constexpr int64_t kPanels = 4;  // of positions, in a tile

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

// (row, term) of the kernel.
void Pack(const Map& m, const float* kernel, float* weights) {
  for (int64_t row = 0; row < m.out; ++row) {
    for (int64_t tap = 0; tap < m.taps; ++tap) {
      const float* from = kernel + tap * m.in * m.out + row * m.of_row;
      for (int64_t i = 0; i < m.in; ++i) *weights++ = from[i * m.of_term];
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

void Run(const Map& m, const float* x, const float* kernel, float* y, const Pool& pool) {
  const int64_t tile = kPanels * kPanel, tiles = CeilDiv(m.positions, tile), terms = m.terms();
  const int64_t weights_size = Whole(terms * m.out, 16);
  const int64_t read_size = terms * tile, own = read_size + m.out * kPanel;
  const Scratch scratch(ScratchPool::Shared(), (weights_size + pool.size() * own) * sizeof(float));
  auto* weights = reinterpret_cast<float*>(scratch.data());
  Pack(m, kernel, weights);
  const Factors factors{weights, terms, 1};
  pool.ForEach(m.n * tiles, [&](int thread, int64_t number) {
    float* read = weights + weights_size + thread * own;
    float* rest = read + read_size;
    const int64_t image = number / tiles, begin = number % tiles * tile;
    const int64_t count = std::min(tile, m.positions - begin), panels = CeilDiv(count, kPanel);
    Read(m, x + image * m.in * m.length, begin, panels, read);
    for (int64_t panel = 0; panel < panels; ++panel) {
      const float* from = read + panel * terms * kPanel;
      float* to = y + image * m.out * m.positions + begin + panel * kPanel;
      const int64_t left = count - panel * kPanel;
      if (left >= kPanel) {
        Multiply(m.out, factors, from, kPanel, terms, to, m.positions, false);
        continue;
      }
      Multiply(m.out, factors, from, kPanel, terms, rest, kPanel, false);
      for (int64_t r = 0; r < m.out; ++r) {
        std::copy_n(rest + r * kPanel, left, to + r * m.positions);
      }
    }
  });
}

}  // namespace

void ConvolveChannelsFirst(Pass pass, const Convolution& p, const float* a, const float* b,
                           float* out, const Pool& all) {
  const Pool pool = PoolFor(p, all);
  if (pass == Pass::kKernelGradient) return KernelGradientChannelsFirst(p, a, b, out, pool);
  Run(Map(pass, p), a, b, out, pool);
}

}  // namespace cnnlab
