#include "depthwise.h"

#include <algorithm>

#include "bfloat16.h"
#include "lanes.h"
#include "scratch.h"

namespace cnnlab {
namespace {

// Results of a row at a time: as many sums as stay in registers beside a tap. The more there are,
// the less do the additions wait for each other.
#ifdef __AVX512F__
constexpr int kMost = 28;
#else
constexpr int kMost = 14;
#endif

// y (n, out_h, out_w, c) = sum over taps of x (n, h, w, c), which begins `top` rows and `left`
// columns within the padding.
struct Shape {
  int64_t n, c, h, w, out_h, out_w, kernel_h, kernel_w, dilation_h, dilation_w, top, left;

  int64_t taps() const { return kernel_h * kernel_w; }
};

Shape ShapeOf(const Convolution& p, bool transposed) {
  const bool image = p.rank() == 2;  // a sequence is an image of one row
  const auto axis = [&](const std::vector<int64_t>& v, int64_t first, int64_t missing) {
    return image ? v[first] : missing;
  };
  const size_t last = image ? 1 : 0;
  Shape s{p.x.front(), p.x.back(),
          axis(p.x, 1, 1), p.x[last + 1], axis(p.y, 1, 1), p.y[last + 1],
          axis(p.kernel, 0, 1), p.kernel[last], axis(p.dilation, 0, 1), p.dilation[last],
          axis(p.low, 0, 0), p.low[last]};
  if (transposed) {
    std::swap(s.h, s.out_h);
    std::swap(s.w, s.out_w);
    s.top = (s.kernel_h - 1) * s.dilation_h - s.top;
    s.left = (s.kernel_w - 1) * s.dilation_w - s.left;
  }
  return s;
}

// The results are computed tile by tile, from a copy of what they see, of `kLanes` channels and
// with the padding as zeros, which stays in the cache, in strips of `width` columns. A function of the
// problem alone.
struct Tiles {
  int64_t rows, columns, width, wide, down, across, high;

  Tiles(const Shape& s, int lanes, int64_t reach) {
    constexpr int64_t kBytes = int64_t{256} << 10;
    const int64_t seen = (s.kernel_h - 1) * s.dilation_h;
    int64_t fitting = 0;
    columns = std::min<int64_t>(s.out_w, 1024);
    for (;; columns /= 2) {  // narrower where rows would be copied for few others
      const int64_t strips = (columns + kMost - 1) / kMost;
      width = ((columns + strips - 1) / strips + 1) / 2 * 2;
      wide = strips * width + reach;
      fitting = kBytes / (wide * lanes * int64_t{sizeof(float)});
      if (columns < 128 || fitting > std::min(s.h, 2 * seen)) break;
    }
    rows = s.h <= fitting ? s.out_h : std::clamp<int64_t>(fitting - seen, 1, s.out_h);
    down = (s.out_h + rows - 1) / rows;
    across = (s.out_w + columns - 1) / columns;
    high = std::min(s.h, rows + seen);
  }
};

// A tile of an image and `kLanes` channels, and the rows of the input that it sees.
struct Tile {
  int64_t image, channel, row, column, rows, columns, first, last;

  Tile(const Shape& s, const Tiles& t, int lanes, int64_t number) {
    column = number % t.across * t.columns;
    row = number / t.across % t.down * t.rows;
    const int64_t block = number / (t.across * t.down);
    channel = block % (s.c / lanes) * lanes;
    image = block / (s.c / lanes);
    rows = std::min(t.rows, s.out_h - row);
    columns = std::min(t.columns, s.out_w - column);
    first = std::clamp<int64_t>(row - s.top, 0, s.h);
    last = std::clamp<int64_t>(row + rows - s.top + (s.kernel_h - 1) * s.dilation_h, first, s.h);
  }
};

int64_t Count(const Shape& s, const Tiles& t, int lanes) {
  return s.n * (s.c / lanes) * t.down * t.across;
}

int64_t CeilDiv(int64_t a, int64_t b) { return a <= 0 ? 0 : b == 1 ? a : (a + b - 1) / b; }

template <int kLanes, typename T>
void Widen(const T* from, float* to) {
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) to[i] = cnnlab::Widen(from[i]);
}

template <int kLanes>
void Write(typename Lanes<kLanes>::Vec v, float* to) {
  Lanes<kLanes>::Store(to, v);
}

template <int kLanes>
void Write(typename Lanes<kLanes>::Vec v, Bfloat16* to) {
  for (int i = 0; i < kLanes; ++i) Narrow(v[i], to[i]);
}

// What a tile sees: (last - first, wide, kLanes).
template <int kLanes, typename T>
void Copy(const Shape& s, const Tile& t, const T* x, int64_t wide, float* to) {
  const int64_t begin = std::clamp<int64_t>(s.left - t.column, 0, wide);
  const int64_t end = std::clamp<int64_t>(s.w + s.left - t.column, begin, wide);
  for (int64_t i = t.first; i < t.last; ++i, to += wide * kLanes) {
    const T* from = x + ((t.image * s.h + i) * s.w + t.column - s.left) * s.c + t.channel;
    std::fill_n(to, begin * kLanes, 0.f);
    for (int64_t j = begin; j < end; ++j) Widen<kLanes>(from + j * s.c, to + j * kLanes);
    std::fill_n(to + end * kLanes, (wide - end) * kLanes, 0.f);
  }
}

// The kernel (taps, c) as (c / kLanes, taps, kLanes), turned by half a circle for the transpose.
template <int kLanes, typename T>
void CopyKernel(const Shape& s, const T* kernel, bool turned, float* to) {
  for (int64_t c = 0; c < s.c; c += kLanes) {
    for (int64_t tap = 0; tap < s.taps(); ++tap, to += kLanes) {
      Widen<kLanes>(kernel + (turned ? s.taps() - 1 - tap : tap) * s.c + c, to);
    }
  }
}

// Taps that reach the input from results `at` to `at + count - 1`.
struct Range {
  int64_t begin, end;

  Range(int64_t at, int64_t count, int64_t low, int64_t size, int64_t dilation, int64_t kernel)
      : begin(std::min(CeilDiv(low - (at + count - 1), dilation), kernel)),
        end(std::clamp(CeilDiv(size + low - at, dilation), begin, kernel)) {}
};

// Columns `b` to `b + kCount - 1` of a tile's results, as far as the tile has them.
template <int kLanes, int kCount, typename T>
void ComputeStrip(const Shape& s, const Tile& t, int64_t b, const float* seen, int64_t wide,
                  const float* kernel, typename Lanes<kLanes>::Vec offset, bool relu, T* y) {
  using L = Lanes<kLanes>;
  using Vec = typename L::Vec;
  const Range across(b, kCount, s.left, s.w, s.dilation_w, s.kernel_w);
  const int64_t gap = s.dilation_w * kLanes;
  const int64_t count = std::min<int64_t>(kCount, t.column + t.columns - b);
  for (int64_t a = t.row; a < t.row + t.rows; ++a) {
    const Range down(a, 1, s.top, s.h, s.dilation_h, s.kernel_h);
    Vec sum[kCount];
#pragma GCC unroll 28
    for (int p = 0; p < kCount; ++p) sum[p] = offset;
    for (int64_t i = down.begin; i < down.end; ++i) {
      const int64_t row = a - s.top + i * s.dilation_h - t.first;
      const float* x = seen + (row * wide + b - t.column) * kLanes + across.begin * gap;
      const float* tap = kernel + (i * s.kernel_w + across.begin) * kLanes;
      for (int64_t j = across.begin; j < across.end; ++j, x += gap, tap += kLanes) {
        const Vec k = L::Load(tap);
#pragma GCC unroll 28
        for (int p = 0; p < kCount; ++p) sum[p] += k * L::Load(x + p * kLanes);
      }
    }
    T* to = y + ((t.image * s.out_h + a) * s.out_w + b) * s.c + t.channel;
#pragma GCC unroll 28
    for (int p = 0; p < kCount; ++p, to += s.c) {
      if (p == count) break;
      const Vec v = relu ? (sum[p] < 0.f ? Vec{} : sum[p]) : sum[p];  // NaN stays
      Write<kLanes>(v, to);
    }
  }
}

// `ComputeStrip` for a width up to `kCount`, an even number.
template <int kLanes, typename T, int kCount>
auto Strip(int64_t width) {
  if constexpr (kCount > 2) {
    if (width < kCount) return Strip<kLanes, T, kCount - 2>(width);
  }
  return ComputeStrip<kLanes, kCount, T>;
}

template <int kLanes, typename T>
void ComputeTile(const Shape& s, const Tile& t, const Tiles& tiles, const float* seen,
                 const float* kernel, const T* bias, bool relu, T* y) {
  typename Lanes<kLanes>::Vec offset{};
  if (bias != nullptr) {
    float values[kLanes];
    Widen<kLanes>(bias + t.channel, values);
    offset = Lanes<kLanes>::Load(values);
  }
  const auto run = Strip<kLanes, T, kMost>(tiles.width);
  for (int64_t b = t.column; b < t.column + t.columns; b += tiles.width) {
    run(s, t, b, seen, tiles.wide, kernel, offset, relu, y);
  }
}

// The forward pass, and with the turned kernel the transpose in the input.
template <int kLanes, typename T>
void Filter(const Shape& s, const T* x, const T* kernel, bool turned, const T* bias, bool relu,
            T* y, const Pool& pool) {
  const Tiles tiles(s, kLanes, (s.kernel_w - 1) * s.dilation_w);
  const int64_t own = (tiles.high * tiles.wide * kLanes + 15) / 16 * 16;  // 64 bytes
  const int64_t weights = (s.taps() * s.c + 15) / 16 * 16;
  const Scratch scratch(ScratchPool::Shared(), (weights + own * pool.size()) * sizeof(float));
  auto* taps = reinterpret_cast<float*>(scratch.data());
  CopyKernel<kLanes>(s, kernel, turned, taps);
  pool.ForEach(Count(s, tiles, kLanes), [&](int thread, int64_t number) {
    float* seen = taps + weights + own * thread;
    const Tile tile(s, tiles, kLanes, number);
    Copy<kLanes>(s, tile, x, tiles.wide, seen);
    ComputeTile<kLanes>(s, tile, tiles, seen, taps + tile.channel * s.taps(), bias, relu, y);
  });
}

// Adds a tile's part to `sums` (kernel_h, columns, kLanes) for its channels, `kTaps` taps of a row
// at a time; `dy` is the tile's (rows, columns, kLanes).
template <int kLanes, int kTaps>
void AddTile(const Shape& s, const Tile& t, const float* seen, int64_t wide, const float* dy,
             int64_t columns, float* sums) {
  using L = Lanes<kLanes>;
  using Vec = typename L::Vec;
  for (int64_t i = 0; i < s.kernel_h; ++i) {
    const int64_t low = s.top - i * s.dilation_h;  // results whose tap is in the input
    const int64_t begin = std::clamp(low, t.row, t.row + t.rows);
    const int64_t end = std::clamp(s.h + low, begin, t.row + t.rows);
    for (int64_t j = 0; j < columns; j += kTaps) {
      const int64_t left = s.left - t.column - j * s.dilation_w;
      const int64_t from =
          std::clamp<int64_t>(left - (kTaps - 1) * s.dilation_w, 0, t.columns);
      const int64_t to = std::clamp<int64_t>(s.w + left, from, t.columns);
      float* at = sums + (i * columns + j) * kLanes;
      Vec sum[kTaps];
      for (int p = 0; p < kTaps; ++p) sum[p] = L::Load(at + p * kLanes);
      for (int64_t a = begin; a < end; ++a) {
        const float* x = seen + ((a - low - t.first) * wide + j * s.dilation_w) * kLanes;
        const float* g = dy + (a - t.row) * t.columns * kLanes;
        for (int64_t b = from; b < to; ++b) {
          const Vec k = L::Load(g + b * kLanes);
#pragma GCC unroll 8
          for (int p = 0; p < kTaps; ++p) {
            sum[p] += k * L::Load(x + (b + p * s.dilation_w) * kLanes);
          }
        }
      }
      for (int p = 0; p < kTaps; ++p) L::Store(at + p * kLanes, sum[p]);
    }
  }
}

// dk of <conv(x, k), dy>: the sum of as many parts as there are threads, each of its tiles.
template <int kLanes, int kTaps, typename T>
void KernelGradient(const Shape& s, const T* x, const T* dy, T* kernel, const Pool& pool) {
  const int64_t columns = (s.kernel_w + kTaps - 1) / kTaps * kTaps;
  const Tiles tiles(s, kLanes, (columns - 1) * s.dilation_w);
  const int64_t block = s.kernel_h * columns * kLanes, sums = s.c / kLanes * block;
  const int64_t image = (tiles.high * tiles.wide * kLanes + 15) / 16 * 16;
  const int64_t own = sums + image + tiles.rows * tiles.columns * kLanes;
  const int64_t parts = pool.size(), count = Count(s, tiles, kLanes);
  const Scratch scratch(ScratchPool::Shared(), own * parts * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
  pool.ForEach(parts, [&](int, int64_t part) {
    float* sum = all + own * part;
    float *seen = sum + sums, *cotangent = seen + image;
    std::fill_n(sum, sums, 0.f);
    for (int64_t number = count * part / parts; number < count * (part + 1) / parts; ++number) {
      const Tile tile(s, tiles, kLanes, number);
      Copy<kLanes>(s, tile, x, tiles.wide, seen);
      float* to = cotangent;
      for (int64_t i = tile.row; i < tile.row + tile.rows; ++i) {
        const T* from = dy + ((tile.image * s.out_h + i) * s.out_w + tile.column) * s.c;
        for (int64_t j = 0; j < tile.columns; ++j, to += kLanes) {
          Widen<kLanes>(from + j * s.c + tile.channel, to);
        }
      }
      AddTile<kLanes, kTaps>(s, tile, seen, tiles.wide, cotangent, columns,
                             sum + tile.channel / kLanes * block);
    }
  });
  constexpr int64_t kTogether = 16;  // taps that a thread adds up at once
  pool.ForEach((s.taps() + kTogether - 1) / kTogether, [&](int, int64_t task) {
    const int64_t end = std::min(s.taps(), (task + 1) * kTogether);
    for (int64_t tap = task * kTogether; tap < end; ++tap) {
      const int64_t place = tap / s.kernel_w * columns + tap % s.kernel_w;
      for (int64_t c = 0; c < s.c; ++c) {
        float total = 0;
        for (int64_t part = 0; part < parts; ++part) {
          total += all[own * part + c / kLanes * block + place * kLanes + c % kLanes];
        }
        Narrow(total, kernel[tap * s.c + c]);
      }
    }
  });
}

template <int kLanes, typename T>
void Run(Pass pass, const Convolution& p, const T* a, const T* b, const T* bias, T* out,
         const Pool& pool) {
  const Shape shape = ShapeOf(p, pass == Pass::kInputGradient);
  if (pass != Pass::kKernelGradient) {
    const bool relu = p.activation == Activation::kRelu;
    return Filter<kLanes>(shape, a, b, pass == Pass::kInputGradient, bias, relu, out, pool);
  }
  const auto run = shape.kernel_w > 4 ? KernelGradient<kLanes, 8, T> : KernelGradient<kLanes, 4, T>;
  run(shape, a, b, out, pool);
}

template <typename T>
void RunType(Pass pass, const Convolution& p, const void* a, const void* b, const void* bias,
             void* out, const Pool& pool) {
  const auto run = p.x.back() % kWidest == 0 ? Run<kWidest, T> : Run<8, T>;
  run(pass, p, static_cast<const T*>(a), static_cast<const T*>(b), static_cast<const T*>(bias),
      static_cast<T*>(out), pool);
}

}  // namespace

bool ServesDepthwise(Pass pass, const Convolution& p) {
  const auto ones = [](const std::vector<int64_t>& v) {
    return std::all_of(v.begin(), v.end(), [](int64_t n) { return n == 1; });
  };
  // oneDNN copies nothing, which tells while there is little to compute; but in the kernel. Of
  // taps that lie apart it has only general code.
  const int64_t least = !ones(p.dilation) ? 1 : pass == Pass::kKernelGradient ? 10 : 40;
  const int64_t channels = p.x.back();
  return p.groups == channels && p.y.back() == channels && channels % 8 == 0 && p.rank() <= 2 &&
         ones(p.stride) && p.activation != Activation::kGelu && Size(p.kernel) / channels >= least;
}

void Depthwise(Pass pass, const Convolution& p, const void* a, const void* b, const void* bias,
               void* out, const Pool& pool) {
  const bool wide = p.dtype == dnnl::memory::data_type::f32;
  (wide ? RunType<float> : RunType<Bfloat16>)(pass, p, a, b, bias, out, pool);
}

}  // namespace cnnlab
