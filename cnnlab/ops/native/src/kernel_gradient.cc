#include "kernel_gradient.h"

#include <algorithm>
#include <type_traits>

#include "position_tiles.h"
#include "scratch.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;
using Vec = L::Vec;

// Sums that stay in registers, beside a product's two factors.
#ifdef __AVX512F__
constexpr int kSums = 24;
#else
constexpr int kSums = 12;
#endif

// Numbers of a tile that are read at every position, and how far on the next ones lie.
struct Factor {
  const float* data;
  Three step;
};

// sums[p, q] += a[p] b[q] over a tile's positions, for `kRows` numbers a and `kVectors` vectors b.
template <int kRows, int kVectors>
void Add(const Three& size, const Factor& a, const int64_t* a_at, const Factor& b,
         const int64_t* b_at, float* sums) {
  Vec sum[kRows][kVectors];
  for (int p = 0; p < kRows; ++p) {
    for (int q = 0; q < kVectors; ++q) sum[p][q] = L::Load(sums + (p * kVectors + q) * kWidest);
  }
  for (int64_t i = 0; i < size[0]; ++i) {
    for (int64_t j = 0; j < size[1]; ++j) {
      const float* from_a = a.data + i * a.step[0] + j * a.step[1];
      const float* from_b = b.data + i * b.step[0] + j * b.step[1];
      for (int64_t k = 0; k < size[2]; ++k, from_a += a.step[2], from_b += b.step[2]) {
        Vec v[kVectors];
#pragma GCC unroll 24
        for (int q = 0; q < kVectors; ++q) v[q] = L::Load(from_b + b_at[q]);
#pragma GCC unroll 24
        for (int p = 0; p < kRows; ++p) {
          const float number = from_a[a_at[p]];
#pragma GCC unroll 24
          for (int q = 0; q < kVectors; ++q) sum[p][q] += number * v[q];
        }
      }
    }
  }
  for (int p = 0; p < kRows; ++p) {
    for (int q = 0; q < kVectors; ++q) L::Store(sums + (p * kVectors + q) * kWidest, sum[p][q]);
  }
}

// Which of the two is read as numbers and which as vectors, and how many at a time: what computes
// the fewest sums that nobody wants.
struct Blocks {
  bool turned = false;  // the numbers are dy's and the vectors x's
  int rows = 0, vectors = 0;
  std::vector<int64_t> a_at, b_at;  // where they lie in a tile's copies, in whole blocks
  decltype(&Add<1, kSums>) add = nullptr;

  Blocks(const Geometry& s, const Tiles& t, const Channels& c) {
    const int64_t x_numbers = s.taps() * c.ins, x_vectors = s.taps() * CeilDiv(c.ins, kWidest);
    const int64_t dy_vectors = CeilDiv(c.outs, kWidest);
    int64_t least = -1;
    const auto consider = [&](int r, decltype(add) code) {
      const int v = kSums / r;
      for (const bool turn : {false, true}) {
        const int64_t number = CeilDiv(turn ? c.outs : x_numbers, r) *
                               CeilDiv(turn ? x_vectors : dy_vectors, v);
        const int64_t cost = number * 64 + r + v;  // of equals what reads least
        if (least >= 0 && cost >= least) continue;
        least = cost;
        turned = turn;
        rows = r;
        vectors = v;
        add = code;
      }
    };
    consider(1, Add<1, kSums>);
    consider(2, Add<2, kSums / 2>);
    consider(3, Add<3, kSums / 3>);
    consider(4, Add<4, kSums / 4>);
    consider(6, Add<6, kSums / 6>);
    consider(12, Add<12, kSums / 12>);

    std::vector<int64_t> x_at, dy_at;
    for (int64_t i = 0; i < s.kernel[0]; ++i) {
      for (int64_t j = 0; j < s.kernel[1]; ++j) {
        for (int64_t k = 0; k < s.kernel[2]; ++k) {
          const int64_t place = (i * s.dilation[0] * t.seen[1] + j * s.dilation[1]) * t.seen[2] +
                                k * s.dilation[2];
          for (int64_t in = 0; in < c.ins; in += turned ? kWidest : 1) {
            x_at.push_back(place * t.pitch_x + in);
          }
        }
      }
    }
    for (int64_t out = 0; out < c.outs; out += turned ? 1 : kWidest) dy_at.push_back(out);
    a_at = turned ? dy_at : x_at;
    b_at = turned ? x_at : dy_at;
    a_at.resize(Whole(a_at.size(), rows), a_at.back());
    b_at.resize(Whole(b_at.size(), vectors), b_at.back());
  }

  int64_t numbers() const { return static_cast<int64_t>(a_at.size() * b_at.size()) * kWidest; }

  void Run(const Three& size, const Factor& x, const Factor& dy, float* sums) const {
    const Factor &a = turned ? dy : x, &b = turned ? x : dy;
    for (size_t p = 0; p < a_at.size(); p += rows) {
      for (size_t q = 0; q < b_at.size(); q += vectors, sums += kSums * kWidest) {
        add(size, a, &a_at[p], b, &b_at[q], sums);
      }
    }
  }

  // Where the vector of sums of a tap's input and output channel begins, both counted in the round.
  int64_t Place(const Channels& c, int64_t tap, int64_t in, int64_t out) const {
    const int64_t x = turned ? tap * CeilDiv(c.ins, kWidest) + in / kWidest : tap * c.ins + in;
    const int64_t dy = turned ? out : out / kWidest;
    const int64_t p = turned ? dy : x, q = turned ? x : dy;
    const int64_t across = b_at.size() / vectors;
    const int64_t block = p / rows * across + q / vectors;
    return ((block * rows + p % rows) * vectors + q % vectors) * kWidest;
  }
};

// A round's loops, ready to run.
struct Round {
  Channels channels;
  Tiles tiles;
  Blocks blocks;

  Round(const Geometry& s, const Channels& c) : channels(c), tiles(s, c), blocks(s, tiles, c) {}

  int64_t sums() const { return Whole(blocks.numbers(), 16); }
  int64_t copies() const { return tiles.numbers_x() + tiles.numbers_dy(); }
};

// Images (n, all channels, shape) or (n, shape, all channels).
template <typename T>
struct Images {
  const T* data;
  Three shape;
  int64_t all;
  bool channels_first;

  // A block of `channels` from the first one on, as `CopyBlock`.
  void Copy(int64_t image, int64_t channel, int64_t channels, const Three& first,
            const Three& size, int64_t pitch, float* to) const {
    const int64_t positions = shape[0] * shape[1] * shape[2];
    const T* from = data + image * positions * all;
    if constexpr (std::is_same_v<T, float>) {
      if (channels_first) {
        return CopyTransposed(from + channel * positions, shape, channels, first, size, pitch, to);
      }
    }
    CopyBlock(from + channel, shape, all, channels, first, size, pitch, to);
  }
};

// The sums of a round over its tiles `first` to `last - 1`; `seen` is for the copies.
template <typename T>
void Sum(const Geometry& s, const Round& round, int64_t first, int64_t last, const Images<T>& x,
         const Images<T>& dy, float* seen, float* sums) {
  const Channels& c = round.channels;
  const Tiles& t = round.tiles;
  float* cotangent = seen + t.numbers_x();
  std::fill_n(seen, round.copies(), 0.f);
  std::fill_n(sums, round.sums(), 0.f);
  for (int64_t number = first; number < last; ++number) {
    const Tile tile(s, t, number);
    Three begin;
    for (int axis = 0; axis < 3; ++axis) {
      begin[axis] = tile.first[axis] * s.stride[axis] - s.low[axis];
    }
    x.Copy(tile.image, c.in, c.ins, begin, t.seen, t.pitch_x, seen);
    dy.Copy(tile.image, c.out, c.outs, tile.first, tile.size, t.pitch_dy, cotangent);
    const int64_t x_row = t.seen[2] * t.pitch_x, dy_row = tile.size[2] * t.pitch_dy;
    round.blocks.Run(tile.size,
                     {seen, {s.stride[0] * t.seen[1] * x_row, s.stride[1] * x_row,
                             s.stride[2] * t.pitch_x}},
                     {cotangent, {tile.size[1] * dy_row, dy_row, t.pitch_dy}}, sums);
  }
}

// A round's part of the kernel, from `parts` sums that lie `apart` from each other.
template <typename T>
void Write(const Geometry& s, const Round& round, const float* sums, int64_t parts, int64_t apart,
           T* kernel) {
  const Channels& c = round.channels;
  const bool turned = round.blocks.turned;
  // A vector at a time: of output channels, or of input channels.
  const int64_t of_in = turned ? kWidest : 1, of_out = turned ? 1 : kWidest;
  for (int64_t tap = 0; tap < s.taps(); ++tap) {
    for (int64_t in = 0; in < c.ins; in += of_in) {
      for (int64_t out = 0; out < c.outs; out += of_out) {
        const float* at = sums + round.blocks.Place(c, tap, in, out);
        Vec total = L::Load(at);
        for (int64_t part = 1; part < parts; ++part) total += L::Load(at + part * apart);
        const int64_t count = std::min<int64_t>(kWidest, turned ? c.ins - in : c.outs - out);
        T* to = kernel + (tap * s.group_in + c.in % s.group_in + in) * s.o + c.out + out;
        for (int64_t i = 0; i < count; ++i, to += turned ? s.o : 1) Narrow(total[i], *to);
      }
    }
  }
}

std::vector<Channels> Rounds(const Geometry& s) {
  constexpr int64_t kMost = 32;  // channels of either side
  std::vector<Channels> rounds;
  for (int64_t group = 0; group < s.c / s.group_in; ++group) {
    for (int64_t in = 0; in < s.group_in; in += kMost) {
      for (int64_t out = 0; out < s.group_out; out += kMost) {
        rounds.push_back({group * s.group_in + in, std::min(kMost, s.group_in - in),
                          group * s.group_out + out, std::min(kMost, s.group_out - out)});
      }
    }
  }
  return rounds;
}

// Into how many parts each round's tiles are divided, so that all threads have as much to do.
int64_t Parts(int64_t rounds, int64_t threads) {
  int64_t parts = 1;
  while (rounds * parts % threads != 0 && rounds * parts < 8 * threads) ++parts;
  return parts;
}

template <typename T>
void Run(const Geometry& s, const Images<T>& x, const Images<T>& dy, T* kernel,
         const Pool& pool) {
  const std::vector<Channels> rounds = Rounds(s);
  const int64_t count = rounds.size(), parts = Parts(count, pool.size());
  const Round largest(s, rounds.front());  // the others have as many channels, or fewer
  const int64_t sums = largest.sums(), copies = largest.copies();
  const Scratch scratch(ScratchPool::Shared(),
                        (count * parts * sums + pool.size() * copies) * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
  pool.ForEach(count * parts, [&](int thread, int64_t i) {
    const Round round(s, rounds[i / parts]);
    const int64_t tiles = round.tiles.all(), part = i % parts;
    float* seen = all + count * parts * sums + thread * copies;
    Sum(s, round, tiles * part / parts, tiles * (part + 1) / parts, x, dy, seen, all + i * sums);
  });
  pool.ForEach(count, [&](int, int64_t i) {
    Write(s, Round(s, rounds[i]), all + i * parts * sums, parts, sums, kernel);
  });
}

// Padded volumes that are no deeper than their kernel. Of those oneDNN's code for AVX-512 leaves taps
// unwritten: in bfloat16 where windows reach beyond both ends, in float32 with a stride of 2, too.
bool ShallowVolume(const Convolution& p) {
  return p.rank() == 3 && p.low[0] + p.high[0] > 0 &&
         p.x[1] <= (p.kernel[0] - 1) * p.dilation[0] + 1;
}

}  // namespace

bool ServesKernelGradient(Pass pass, const Convolution& p) {
  if (pass != Pass::kKernelGradient) return false;
  if (ShallowVolume(p)) return true;
  if (Has(dnnl::cpu_isa::avx512_core)) return false;
  const int64_t in = p.x.back() / p.groups, out = p.y.back() / p.groups;
  if (p.groups > 1 && in * out < 4) return false;  // vectors would be nearly empty
  constexpr int64_t kMostNumbers = 1 << 22;        // that a thread copies: taps lie too far apart
  const Geometry geometry(p);
  if (Tiles(geometry, Rounds(geometry).front()).numbers_x() > kMostNumbers) return false;
  const auto dilated = [](int64_t n) { return n > 1; };
  const bool sequence = p.rank() == 1 && p.kernel[0] > 1;
  return p.rank() == 3 || sequence || out < 8 ||
         std::any_of(p.dilation.begin(), p.dilation.end(), dilated);
}

void KernelGradient(const Convolution& p, const void* x, const void* dy, void* kernel,
                    const Pool& pool) {
  const auto run = [&](auto number) {
    using T = decltype(number);
    const Geometry s(p);
    Run(s, Images<T>{static_cast<const T*>(x), s.x, s.c, false},
        Images<T>{static_cast<const T*>(dy), s.y, s.o, false}, static_cast<T*>(kernel), pool);
  };
  p.dtype == dnnl::memory::data_type::f32 ? run(float{}) : run(Bfloat16{});
}

void KernelGradientChannelsFirst(const Convolution& p, const float* x, const float* dy,
                                 float* kernel, const Pool& pool) {
  const Geometry s(p);
  Run(s, Images<float>{x, s.x, s.c, true}, Images<float>{dy, s.y, s.o, true}, kernel, pool);
}

}  // namespace cnnlab
