// Tiles of a convolution's positions, and copies of what a tile reads.
#pragma once

#include <algorithm>
#include <array>

#include "bfloat16.h"
#include "convolution.h"
#include "lanes.h"
#include "transpose.h"

namespace cnnlab {

using Three = std::array<int64_t, 3>;

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t Whole(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

// Three spatial axes, the missing ones first.
inline Three Spatial(const std::vector<int64_t>& v, size_t first, size_t rank, int64_t missing) {
  Three three{missing, missing, missing};
  std::copy_n(v.begin() + first, rank, three.end() - rank);
  return three;
}

struct Geometry {
  int64_t n, c, o, group_in, group_out;  // all channels, in and out, and a group's
  Three x, y, kernel, stride, dilation, low;

  explicit Geometry(const Convolution& p)
      : n(p.x.front()),
        c(p.x.back()),
        o(p.y.back()),
        group_in(c / p.groups),
        group_out(o / p.groups),
        x(Spatial(p.x, 1, p.rank(), 1)),
        y(Spatial(p.y, 1, p.rank(), 1)),
        kernel(Spatial(p.kernel, 0, p.rank(), 1)),
        stride(Spatial(p.stride, 0, p.rank(), 1)),
        dilation(Spatial(p.dilation, 0, p.rank(), 1)),
        low(Spatial(p.low, 0, p.rank(), 0)) {}

  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// The channels of one round: of one group, so few that their sums stay in a cache.
struct Channels {
  int64_t in, ins, out, outs;  // the first and how many
};

// The results are taken tile by tile, with copies of what a tile reads, whose rows are `pitch`
// numbers long: the padding is in them as zeros, and numbers behind the last ones, so that whole
// vectors can be read.
struct Tiles {
  Three size, seen, count;
  int64_t images, pitch_x, pitch_dy;

  Tiles(const Geometry& s, const Channels& c) : images(s.n), pitch_x(c.ins) {
    // For so many positions each sum is read and written once; more where taps lie far apart, and
    // little of what a tile reads is its own.
    int64_t positions = std::clamp<int64_t>((s.kernel[2] - 1) * s.dilation[2], 128, 1024);
    for (int axis = 2; axis >= 0; --axis) {
      const int64_t reach = (s.kernel[axis] - 1) * s.dilation[axis];
      size[axis] = std::min(s.y[axis], positions);
      positions = std::max<int64_t>(positions / size[axis], 1);
      seen[axis] = (size[axis] - 1) * s.stride[axis] + reach + 1;
      count[axis] = CeilDiv(s.y[axis], size[axis]);
    }
    pitch_dy = Whole(c.outs, kWidest);
  }

  int64_t all() const { return images * count[0] * count[1] * count[2]; }
  int64_t numbers_x() const {
    return Whole(seen[0] * seen[1] * seen[2] * pitch_x + kWidest, 16);
  }
  int64_t numbers_dy() const { return Whole(size[0] * size[1] * size[2] * pitch_dy, 16); }
};

struct Tile {
  int64_t image;
  Three first, size;  // of the results

  Tile(const Geometry& s, const Tiles& t, int64_t number) {
    for (int axis = 2; axis >= 0; --axis) {
      first[axis] = number % t.count[axis] * t.size[axis];
      size[axis] = std::min(t.size[axis], s.y[axis] - first[axis]);
      number /= t.count[axis];
    }
    image = number;
  }
};

// A block (size, pitch) that begins at `first` of an image (shape): `row(place, count, at)` writes so
// many positions of it, from the one with this number; zeros beside the image.
template <typename Row>
void CopyRows(const Three& shape, const Three& first, const Three& size, int64_t pitch, float* to,
              Row row) {
  const int64_t begin = std::clamp<int64_t>(-first[2], 0, size[2]);
  const int64_t end = std::clamp<int64_t>(shape[2] - first[2], begin, size[2]);
  for (int64_t i = first[0]; i < first[0] + size[0]; ++i) {
    for (int64_t j = first[1]; j < first[1] + size[1]; ++j, to += size[2] * pitch) {
      if (i < 0 || i >= shape[0] || j < 0 || j >= shape[1] || begin == end) {
        std::fill_n(to, size[2] * pitch, 0.f);
        continue;
      }
      std::fill_n(to, begin * pitch, 0.f);
      std::fill(to + end * pitch, to + size[2] * pitch, 0.f);
      row((i * shape[1] + j) * shape[2] + first[2] + begin, end - begin, to + begin * pitch);
    }
  }
}

// The same of `channels` of an image that has `all`, and has them last.
template <typename T>
void CopyBlock(const T* from, const Three& shape, int64_t all, int64_t channels, const Three& first,
               const Three& size, int64_t pitch, float* to) {
  CopyRows(shape, first, size, pitch, to, [&](int64_t place, int64_t count, float* at) {
    const T* row = from + place * all;
    if (all == channels && pitch == channels) {
#pragma omp simd
      for (int64_t k = 0; k < count * channels; ++k) at[k] = Widen(row[k]);
      return;
    }
    for (int64_t k = 0; k < count; ++k, row += all, at += pitch) {
#pragma omp simd
      for (int64_t c = 0; c < channels; ++c) at[c] = Widen(row[c]);
    }
  });
}

// The same of an image (channels, shape), which has them first.
inline void CopyTransposed(const float* from, const Three& shape, int64_t channels,
                           const Three& first, const Three& size, int64_t pitch, float* to) {
  const int64_t apart = shape[0] * shape[1] * shape[2];
  CopyRows(shape, first, size, pitch, to, [&](int64_t place, int64_t count, float* at) {
    CopyTurned(from + place, channels, apart, count, at, pitch);
  });
}

}  // namespace cnnlab
