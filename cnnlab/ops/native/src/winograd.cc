#include "winograd.h"

#include <algorithm>
#include <array>

#include "batched_product.h"
#include "scratch.h"
#include "team.h"
#include "winograd_transforms.h"

namespace cnnlab {
namespace {

// Images of a pass: `data` (n, h, w, c); the window of tile (i, j) begins at (4 i - top, 4 j - left).
template <typename T>
struct Images {
  T* data;
  int64_t n, h, w, c, top, left;
};

// The tiles of the results, `rows` x `columns` an image.
struct Tiles {
  int64_t rows, columns, count;

  Tiles(int64_t n, int64_t h, int64_t w)
      : rows((h + kTile - 1) / kTile), columns((w + kTile - 1) / kTile), count(n * rows * columns) {}
};

// Pointers to the `kSide` x `kSide` pixels of a tile; to `outside` where there is none.
template <int kSide, typename T>
std::array<T*, kSide * kSide> Pixels(const Images<T>& x, const Tiles& tiles, int64_t tile,
                                     T* outside) {
  std::array<T*, kSide * kSide> found;
  const int64_t image = tile / (tiles.rows * tiles.columns);
  const int64_t top = tile / tiles.columns % tiles.rows * kTile - x.top;
  const int64_t left = tile % tiles.columns * kTile - x.left;
  for (int64_t i = 0; i < kSide; ++i) {
    for (int64_t j = 0; j < kSide; ++j) {
      const bool inside = top + i >= 0 && top + i < x.h && left + j >= 0 && left + j < x.w;
      found[i * kSide + j] =
          inside ? x.data + ((image * x.h + top + i) * x.w + left + j) * x.c : outside;
    }
  }
  return found;
}

// Tiles `first` to `first + count` of the images into `out` (36, count, c): B^T d B for windows,
// A d A^T for the cotangents of results. Tiles beyond the last are zero.
template <int kSide, int kLanes>
void Gather(const Images<const float>& x, const Tiles& tiles, int64_t first, int64_t count,
            const float* zeros, float* out) {
  using F = Transform<kLanes>;
  const int64_t step = count * x.c;
  for (int64_t t = 0; t < count; ++t) {
    std::array<const float*, kSide * kSide> pixels;
    if (first + t < tiles.count) {
      pixels = Pixels<kSide>(x, tiles, first + t, zeros);
    } else {
      pixels.fill(zeros);
    }
    for (int64_t c = 0; c < x.c; c += kLanes) {
      typename F::Vec d[kSide * kSide], half[kWindow * kSide], v[kPositions];
      for (int i = 0; i < kSide * kSide; ++i) d[i] = F::Load(pixels[i] + c);
      for (int j = 0; j < kSide; ++j) {
        if constexpr (kSide == kWindow) {
          F::Input(d + j, half + j, kSide);
        } else {
          F::Cotangent(d + j, half + j, kSide, kSide);
        }
      }
      for (int i = 0; i < kWindow; ++i) {
        if constexpr (kSide == kWindow) {
          F::Input(half + i * kSide, v + i * kWindow, 1);
        } else {
          F::Cotangent(half + i * kSide, v + i * kWindow, 1, 1);
        }
      }
      float* at = out + t * x.c + c;
      for (int i = 0; i < kPositions; ++i) F::Store(at + i * step, v[i]);
    }
  }
}

// A^T m A of `m` (36, count, c) into tiles `first` to `first + count` of the results.
template <int kLanes>
void Scatter(const float* m, const Images<float>& y, const Tiles& tiles, int64_t first,
             int64_t count, const float* bias, bool relu) {
  using F = Transform<kLanes>;
  const int64_t step = count * y.c;
  const int64_t last = std::min(first + count, tiles.count);
  for (int64_t tile = first; tile < last; ++tile) {
    const auto pixels = Pixels<kTile, float>(y, tiles, tile, nullptr);
    for (int64_t c = 0; c < y.c; c += kLanes) {
      typename F::Vec v[kPositions], half[kTile * kWindow], r[kTile * kTile];
      const float* at = m + (tile - first) * y.c + c;
      for (int i = 0; i < kPositions; ++i) v[i] = F::Load(at + i * step);
      for (int j = 0; j < kWindow; ++j) F::Result(v + j, half + j, kWindow, kWindow);
      for (int i = 0; i < kTile; ++i) F::Result(half + i * kWindow, r + i * kTile, 1, 1);
      for (int i = 0; i < kTile * kTile; ++i) {
        if (pixels[i] == nullptr) continue;
        typename F::Vec value = bias != nullptr ? r[i] + F::Load(bias + c) : r[i];
        if (relu) value = value < 0.f ? typename F::Vec{} : value;  // NaN stays
        F::Store(pixels[i] + c, value);
      }
    }
  }
}

// G k G^T of a kernel (3, 3, c_in, c_out) into `u` (36, c_in, c_out).
template <int kLanes>
void KernelForward(const float* kernel, int64_t in, int64_t out, float* u) {
  using F = Transform<kLanes>;
#pragma omp parallel for
  for (int64_t at = 0; at < in * out; at += kLanes) {
    typename F::Vec k[9], half[kWindow * 3], v[kPositions];
    for (int i = 0; i < 9; ++i) k[i] = F::Load(kernel + i * in * out + at);
    for (int j = 0; j < 3; ++j) F::Kernel(k + j, half + j, 3, 3);
    for (int i = 0; i < kWindow; ++i) F::Kernel(half + i * 3, v + i * kWindow, 1, 1);
    for (int i = 0; i < kPositions; ++i) F::Store(u + i * in * out + at, v[i]);
  }
}

// The same of the kernel turned by half a circle, (36, c_out, c_in): the transpose in the input.
template <int kLanes>
void KernelTurned(const float* kernel, int64_t in, int64_t out, float* u) {
  using F = Transform<kLanes>;
#pragma omp parallel for
  for (int64_t c = 0; c < in; c += kLanes) {
    for (int64_t m = 0; m < out; ++m) {
      typename F::Vec k[9], half[kWindow * 3], v[kPositions];
      for (int i = 0; i < 9; ++i) {
        for (int lane = 0; lane < kLanes; ++lane) {
          k[8 - i][lane] = kernel[(i * in + c + lane) * out + m];
        }
      }
      for (int j = 0; j < 3; ++j) F::Kernel(k + j, half + j, 3, 3);
      for (int i = 0; i < kWindow; ++i) F::Kernel(half + i * 3, v + i * kWindow, 1, 1);
      for (int i = 0; i < kPositions; ++i) F::Store(u + (i * out + m) * in + c, v[i]);
    }
  }
}

// G^T (the sum of `parts` arrays `u` (36, c_in, c_out), one after the other) G into a kernel.
template <int kLanes>
void KernelBack(const float* u, int64_t parts, int64_t in, int64_t out, float* kernel) {
  using F = Transform<kLanes>;
#pragma omp parallel for
  for (int64_t at = 0; at < in * out; at += kLanes) {
    typename F::Vec v[kPositions], half[3 * kWindow], k[9];
    for (int i = 0; i < kPositions; ++i) {
      v[i] = F::Load(u + i * in * out + at);
      for (int64_t part = 1; part < parts; ++part) {
        v[i] += F::Load(u + (part * kPositions + i) * in * out + at);
      }
    }
    for (int j = 0; j < kWindow; ++j) F::KernelBack(v + j, half + j, kWindow, kWindow);
    for (int i = 0; i < 3; ++i) F::KernelBack(half + i * kWindow, k + i * 3, 1, 1);
    for (int i = 0; i < 9; ++i) F::Store(kernel + i * in * out + at, k[i]);
  }
}

// How the tiles are cut: `blocks` of `size`, the same number for each thread.
struct Blocks {
  int64_t size, count;

  // As many tiles at once as keep both sides of the product in the caches, but enough for each
  // transformed kernel that is read.
  Blocks(const Tiles& tiles, int64_t channels, int64_t least, int threads) {
    constexpr int64_t kBytes = int64_t{2} << 20;
    const int64_t fitting = kBytes / (kPositions * channels * int64_t{sizeof(float)});
    const int64_t wanted = std::clamp<int64_t>(fitting, least, 256);
    const int64_t each = (tiles.count + threads - 1) / threads;
    const int64_t rounds = (each + wanted - 1) / wanted;
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
            bool relu, const Images<float>& y, int threads) {
  const Tiles tiles(y.n, y.h, y.w);
  const Blocks blocks(tiles, x.c + y.c, 64, threads);
  const auto product = Product::Get({kPositions, blocks.size, x.c, y.c}, Product::kPlain);
  Layout layout;
  const size_t zeros = layout.Add(x.c), u = layout.Add(kPositions * x.c * y.c);
  const size_t packed = layout.Add(product->packed_bytes() / sizeof(float) + 1);
  const size_t own = layout.bytes();
  const size_t v = layout.Add(kPositions * blocks.size * x.c);
  const size_t m = layout.Add(kPositions * blocks.size * y.c);
  const size_t work = layout.Add(product->work_bytes() / sizeof(float) + 1);
  const size_t stride = layout.bytes() - own;
  const Scratch scratch(ScratchPool::Shared(), own + stride * threads);
  const auto at = [&](size_t offset) { return reinterpret_cast<float*>(scratch.data() + offset); };

  std::fill_n(at(zeros), x.c, 0.f);
  turned ? KernelTurned<kLanes>(kernel, y.c, x.c, at(u))
         : KernelForward<kLanes>(kernel, x.c, y.c, at(u));
  const float* right = product->Pack(at(u), at(packed));
#pragma omp parallel num_threads(threads)
  {
    const size_t mine = stride * omp_get_thread_num();
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks.count; ++block) {
      const int64_t first = block * blocks.size;
      if (first >= tiles.count) continue;
      Gather<kWindow, kLanes>(x, tiles, first, blocks.size, at(zeros), at(v + mine));
      product->Run(at(v + mine), right, at(m + mine), at(work + mine));
      Scatter<kLanes>(at(m + mine), y, tiles, first, blocks.size, bias, relu);
    }
  }
}

// dk of <conv(x, k), dy>: each thread sums the products of its blocks.
template <int kLanes>
void KernelGradient(const Images<const float>& x, const Images<const float>& dy, float* kernel,
                    int threads) {
  const Tiles tiles(dy.n, dy.h, dy.w);
  const Blocks blocks(tiles, x.c + dy.c, 128, threads);
  const auto product = Product::Get({kPositions, x.c, blocks.size, dy.c}, Product::kAddTransposed);
  const size_t sums = kPositions * x.c * dy.c;
  Layout layout;
  const size_t zeros = layout.Add(std::max(x.c, dy.c)), u = layout.Add(sums * threads);
  const size_t own = layout.bytes();
  const size_t v = layout.Add(kPositions * blocks.size * x.c);
  const size_t m = layout.Add(kPositions * blocks.size * dy.c);
  const size_t work = layout.Add(product->work_bytes() / sizeof(float) + 1);
  const size_t stride = layout.bytes() - own;
  const Scratch scratch(ScratchPool::Shared(), own + stride * threads);
  const auto at = [&](size_t offset) { return reinterpret_cast<float*>(scratch.data() + offset); };

  std::fill_n(at(zeros), std::max(x.c, dy.c), 0.f);
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    const size_t mine = stride * thread;
    float* sum = at(u) + sums * thread;
    std::fill_n(sum, sums, 0.f);
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks.count; ++block) {
      const int64_t first = block * blocks.size;
      if (first >= tiles.count) continue;
      Gather<kWindow, kLanes>(x, tiles, first, blocks.size, at(zeros), at(v + mine));
      Gather<kTile, kLanes>(dy, tiles, first, blocks.size, at(zeros), at(m + mine));
      product->Run(at(v + mine), at(m + mine), sum, at(work + mine));
    }
  }
  KernelBack<kLanes>(at(u), threads, x.c, dy.c, kernel);
}

template <int kLanes>
void Run(Pass pass, const Convolution& p, const float* a, const float* b, const float* bias,
              float* out) {
  const Team team(HelpersFor(p));
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
                    team.size());
    case Pass::kInputGradient:
      return Filter<kLanes>(images(a, p.y, 2 - p.low[0], 2 - p.low[1]), b, true, nullptr, false,
                    results(p.x), team.size());
    case Pass::kKernelGradient:
      return KernelGradient<kLanes>(images(a, p.x, p.low[0], p.low[1]), images(b, p.y, 0, 0), out,
                            team.size());
  }
}

}  // namespace

void Winograd(Pass pass, const Convolution& p, const float* a, const float* b, const float* bias,
              float* out) {
  const bool widest = p.x.back() % kWidest == 0 && p.y.back() % kWidest == 0;
  (widest ? Run<kWidest> : Run<8>)(pass, p, a, b, bias, out);
}

}  // namespace cnnlab
