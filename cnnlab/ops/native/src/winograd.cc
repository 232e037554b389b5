#include "winograd.h"

#include <algorithm>

#include "panels.h"
#include "scratch.h"
#include "winograd_tiles.h"

namespace cnnlab {
namespace {

using namespace winograd;

// Arrays (36, rows, c) whose c is filled up to whole panels: what is transformed of them is not read.
int64_t Padded(int64_t c) { return (c + kPanel - 1) / kPanel * kPanel; }

// How far 36 arrays of so many numbers lie apart: not by a multiple of 4096 bytes, of which a cache
// holds no more than eight lines.
int64_t Apart(int64_t floats) {
  constexpr int64_t kLine = 16;
  return (floats + kLine - 1) / kLine * kLine + kLine;
}

// Where a transformed kernel has the `row`-th factor of result channel `c`: (36, panels, rows, kPanel).
int64_t Place(int64_t rows, int64_t row, int64_t c) {
  return (c / kPanel * rows + row) * kPanel + c % kPanel;
}

// G k G^T of a kernel (3, 3, c_in, c_out) into `u`.
template <int kLanes>
void KernelForward(const float* kernel, int64_t in, int64_t out, float* u,
                   const Pool& pool) {
  using F = Transform<kLanes>;
  const int64_t apart = Apart(in * Padded(out));
  pool.ForEach(in, [&](int, int64_t i) {
    for (int64_t o = 0; o < out; o += kLanes) {
      typename F::Vec k[9], half[kWindow * 3], v[kPositions];
      for (int t = 0; t < 9; ++t) k[t] = F::Load(kernel + (t * in + i) * out + o);
      for (int j = 0; j < 3; ++j) F::Kernel(k + j, half + j, 3, 3);
      for (int t = 0; t < kWindow; ++t) F::Kernel(half + t * 3, v + t * kWindow, 1, 1);
      float* at = u + Place(in, i, o);
      for (int t = 0; t < kPositions; ++t) F::Store(at + t * apart, v[t]);
    }
  });
}

// The same of the kernel turned by half a circle, of which c_in are the results: the transpose in the
// input.
template <int kLanes>
void KernelTurned(const float* kernel, int64_t in, int64_t out, float* u,
                  const Pool& pool) {
  using F = Transform<kLanes>;
  const int64_t apart = Apart(out * Padded(in));
  pool.ForEach(out * Padded(in) / kPanel, [&](int, int64_t line) {  // one after another in `u`
    const int64_t first = line / out * kPanel, m = line % out;
    for (int64_t c = first; c < std::min(first + kPanel, in); c += kLanes) {
      typename F::Vec k[9], half[kWindow * 3], v[kPositions];
      for (int i = 0; i < 9; ++i) {
        for (int lane = 0; lane < kLanes; ++lane) {
          k[8 - i][lane] = kernel[(i * in + c + lane) * out + m];
        }
      }
      for (int j = 0; j < 3; ++j) F::Kernel(k + j, half + j, 3, 3);
      for (int i = 0; i < kWindow; ++i) F::Kernel(half + i * 3, v + i * kWindow, 1, 1);
      float* at = u + Place(out, m, c);
      for (int i = 0; i < kPositions; ++i) F::Store(at + i * apart, v[i]);
    }
  });
}

// G^T (the sum of `parts` arrays `u` (36, c_in, padded c_out), one after the other) G into a kernel.
template <int kLanes>
void KernelBack(const float* u, int64_t parts, int64_t in, int64_t out, float* kernel,
                const Pool& pool) {
  using F = Transform<kLanes>;
  const int64_t apart = in * Padded(out);
  pool.ForEach(in, [&](int, int64_t i) {
    for (int64_t o = 0; o < out; o += kLanes) {
      typename F::Vec v[kPositions], half[3 * kWindow], k[9];
      for (int t = 0; t < kPositions; ++t) {
        const float* at = u + t * apart + i * Padded(out) + o;
        v[t] = F::Load(at);
        for (int64_t part = 1; part < parts; ++part) {
          v[t] += F::Load(at + part * kPositions * apart);
        }
      }
      for (int j = 0; j < kWindow; ++j) F::KernelBack(v + j, half + j, kWindow, kWindow);
      for (int t = 0; t < 3; ++t) F::KernelBack(half + t * kWindow, k + t * 3, 1, 1);
      for (int t = 0; t < 9; ++t) F::Store(kernel + (t * in + i) * out + o, k[t]);
    }
  });
}

// How the tiles are cut: `count` blocks of `size`, the same number, `rounds`, for each thread.
struct Blocks {
  int64_t size, rounds, count;

  // As many tiles at once as keep both sides of the product in a cache, but enough for each
  // transformed kernel that is read.
  Blocks(const Tiles& tiles, int64_t channels, int64_t least, int threads) {
    constexpr int64_t kBytes = int64_t{192} << 10;
    const int64_t fitting = kBytes / (kPositions * channels * int64_t{sizeof(float)});
    const int64_t wanted = std::clamp<int64_t>(fitting, least, 96);
    const int64_t each = (tiles.count + threads - 1) / threads;
    rounds = (each + wanted - 1) / wanted;
    size = (each + rounds - 1) / rounds;
    count = rounds * threads;
  }
};

// Parts of one piece of scratch memory, each at a multiple of 64 bytes.
class Layout {
 public:
  size_t Add(size_t floats) {
    const size_t at = bytes_;
    bytes_ += (floats * sizeof(float) + 63) / 64 * 64;
    return at;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

// y = conv(x, k): the forward pass, and with the turned kernel the transpose in the input.
template <int kLanes>
void Filter(const Images<const float>& x, const float* kernel, bool turned, const float* bias,
            bool relu, const Images<float>& y, const Pool& pool) {
  constexpr int64_t kTerms = 256;  // whose factors in a panel stay in the first cache
  const Tiles tiles(y.n, y.h, y.w);
  const int64_t columns = Padded(y.c), of_kernel = Apart(x.c * columns);
  const bool large = of_kernel > (1 << 14);  // too large for a cache beside the tiles
  const Blocks blocks(tiles, x.c + y.c, large ? 64 : 12, pool.size());
  const int64_t v_apart = Apart(blocks.size * x.c), m_apart = Apart(blocks.size * columns);
  Layout layout;
  const size_t zeros = layout.Add(x.c), u = layout.Add(kPositions * of_kernel);
  const size_t own = layout.bytes();
  const size_t v = layout.Add(kPositions * v_apart), m = layout.Add(kPositions * m_apart);
  const size_t stride = layout.bytes() - own;
  const Scratch scratch(ScratchPool::Shared(), own + stride * pool.size());
  const auto at = [&](size_t offset) { return reinterpret_cast<float*>(scratch.data() + offset); };

  std::fill_n(at(zeros), x.c, 0.f);
  turned ? KernelTurned<kLanes>(kernel, y.c, x.c, at(u), pool)
         : KernelForward<kLanes>(kernel, x.c, y.c, at(u), pool);
  pool.ForEach(blocks.count, [&](int thread, int64_t block) {
    const size_t mine = stride * thread;
    const int64_t first = block * blocks.size;
    if (first >= tiles.count) return;
    Gather<kWindow, kLanes>(x, tiles, first, blocks.size, at(zeros), at(v + mine), x.c, v_apart);
    for (int64_t i = 0; i < kPositions; ++i) {
      for (int64_t column = 0; column < columns; column += kPanel) {
        for (int64_t term = 0; term < x.c; term += kTerms) {
          Multiply(blocks.size, {at(v + mine) + i * v_apart + term, x.c, 1},
                   at(u) + i * of_kernel + Place(x.c, term, column), kPanel,
                   std::min(kTerms, x.c - term), at(m + mine) + i * m_apart + column, columns,
                   term > 0);
        }
      }
    }
    Scatter<kLanes>(at(m + mine), columns, m_apart, y, tiles, first, blocks.size, bias, relu);
  });
}

// dk of <conv(x, k), dy>: the sum of as many parts as there are threads, each of its blocks.
template <int kLanes>
void KernelGradient(const Images<const float>& x, const Images<const float>& dy, float* kernel,
                    const Pool& pool) {
  const Tiles tiles(dy.n, dy.h, dy.w);
  const int64_t parts = pool.size();
  const Blocks blocks(tiles, x.c + dy.c, 48, pool.size());
  const int64_t columns = Padded(dy.c), of_kernel = x.c * columns;
  const int64_t v_apart = Apart(blocks.size * x.c), m_apart = Apart(blocks.size * columns);
  const size_t sums = kPositions * of_kernel;
  Layout layout;
  const size_t zeros = layout.Add(std::max(x.c, dy.c)), u = layout.Add(sums * parts);
  const size_t own = layout.bytes();
  const size_t v = layout.Add(kPositions * v_apart), m = layout.Add(kPositions * m_apart);
  const size_t stride = layout.bytes() - own;
  const Scratch scratch(ScratchPool::Shared(), own + stride * parts);
  const auto at = [&](size_t offset) { return reinterpret_cast<float*>(scratch.data() + offset); };

  std::fill_n(at(zeros), std::max(x.c, dy.c), 0.f);
  pool.ForEach(parts, [&](int, int64_t part) {
    const size_t mine = stride * part;
    float* sum = at(u) + sums * part;
    std::fill_n(sum, sums, 0.f);
    for (int64_t block = part * blocks.rounds; block < (part + 1) * blocks.rounds; ++block) {
      const int64_t first = block * blocks.size;
      if (first >= tiles.count) break;
      Gather<kWindow, kLanes>(x, tiles, first, blocks.size, at(zeros), at(v + mine), x.c, v_apart);
      Gather<kTile, kLanes>(dy, tiles, first, blocks.size, at(zeros), at(m + mine), columns,
                            m_apart);
      for (int64_t i = 0; i < kPositions; ++i) {
        for (int64_t column = 0; column < columns; column += kPanel) {
          Multiply(x.c, {at(v + mine) + i * v_apart, 1, x.c}, at(m + mine) + i * m_apart + column,
                   columns, blocks.size, sum + i * of_kernel + column, columns, true);
        }
      }
    }
  });
  KernelBack<kLanes>(at(u), parts, x.c, dy.c, kernel, pool);
}

template <int kLanes>
void Run(Pass pass, const Convolution& p, const float* a, const float* b, const float* bias,
         float* out, const Pool& pool) {
  const auto images = [&](const auto* data, const std::vector<int64_t>& s, int64_t top,
                          int64_t left) {
    return Images<const float>{data, s[0], s[1], s[2], s[3], top, left};
  };
  const auto results = [&](const std::vector<int64_t>& s) {
    return Images<float>{out, s[0], s[1], s[2], s[3], 0, 0};
  };
  const bool relu = p.activation == Activation::kRelu;
  switch (pass) {
    case Pass::kForward:
      return Filter<kLanes>(images(a, p.x, p.low[0], p.low[1]), b, false, bias, relu, results(p.y),
                    pool);
    case Pass::kInputGradient:
      return Filter<kLanes>(images(a, p.y, 2 - p.low[0], 2 - p.low[1]), b, true, nullptr, false,
                    results(p.x), pool);
    case Pass::kKernelGradient:
      return KernelGradient<kLanes>(images(a, p.x, p.low[0], p.low[1]), images(b, p.y, 0, 0), out,
                            pool);
  }
}

}  // namespace

void Winograd(Pass pass, const Convolution& p, const float* a, const float* b, const float* bias,
              float* out, const Pool& all) {
  const Pool pool = PoolFor(p, all);
  const bool widest = p.x.back() % kWidest == 0 && p.y.back() % kWidest == 0;
  (widest ? Run<kWidest> : Run<8>)(pass, p, a, b, bias, out, pool);
}

}  // namespace cnnlab
