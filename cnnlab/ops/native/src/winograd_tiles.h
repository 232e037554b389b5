// Tiles of images, and their transforms for F(4, 3).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "winograd_transforms.h"

namespace cnnlab::winograd {

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

// Tiles `first` to `first + count` of the images into `out`, 36 arrays (count, `row`) that lie `apart`:
// B^T d B for windows, A d A^T for the cotangents of results. Tiles beyond the last are zero.
template <int kSide, int kLanes>
void Gather(const Images<const float>& x, const Tiles& tiles, int64_t first, int64_t count,
            const float* zeros, float* out, int64_t row, int64_t apart) {
  using F = Transform<kLanes>;
  const auto transform = [](const typename F::Vec* in, typename F::Vec* to, int step) {
    if constexpr (kSide == kWindow) {
      F::Input(in, to, step);
    } else {
      F::Cotangent(in, to, step);
    }
  };
  for (int64_t t = 0; t < count; ++t) {
    std::array<const float*, kSide * kSide> pixels;
    if (first + t < tiles.count) {
      pixels = Pixels<kSide>(x, tiles, first + t, zeros);
    } else {
      pixels.fill(zeros);
    }
    for (int64_t c = 0; c < x.c; c += kLanes) {
      typename F::Vec half[kWindow * kSide];
      for (int j = 0; j < kSide; ++j) {
        typename F::Vec d[kSide];
        for (int i = 0; i < kSide; ++i) d[i] = F::Load(pixels[i * kSide + j] + c);
        transform(d, half + j, kSide);
      }
      float* at = out + t * row + c;
      for (int i = 0; i < kWindow; ++i) {
        typename F::Vec v[kWindow];
        transform(half + i * kSide, v, 1);
        for (int j = 0; j < kWindow; ++j, at += apart) F::Store(at, v[j]);
      }
    }
  }
}

// A^T m A of `m`, 36 arrays (count, `row`) that lie `apart`, into tiles `first` to `first + count` of
// the results.
template <int kLanes>
void Scatter(const float* m, int64_t row, int64_t apart, const Images<float>& y, const Tiles& tiles,
             int64_t first, int64_t count, const float* bias, bool relu) {
  using F = Transform<kLanes>;
  const int64_t last = std::min(first + count, tiles.count);
  for (int64_t tile = first; tile < last; ++tile) {
    const auto pixels = Pixels<kTile, float>(y, tiles, tile, nullptr);
    for (int64_t c = 0; c < y.c; c += kLanes) {
      typename F::Vec half[kTile * kWindow];
      const float* at = m + (tile - first) * row + c;
      for (int j = 0; j < kWindow; ++j) {
        typename F::Vec v[kWindow];
        for (int i = 0; i < kWindow; ++i) v[i] = F::Load(at + (i * kWindow + j) * apart);
        F::Result(v, half + j, kWindow);
      }
      for (int i = 0; i < kTile; ++i) {
        typename F::Vec r[kTile];
        F::Result(half + i * kWindow, r, 1);
        for (int j = 0; j < kTile; ++j) {
          float* to = pixels[i * kTile + j];
          if (to == nullptr) continue;
          typename F::Vec value = bias != nullptr ? r[j] + F::Load(bias + c) : r[j];
          if (relu) value = value < 0.f ? typename F::Vec{} : value;  // NaN stays
          F::Store(to + c, value);
        }
      }
    }
  }
}

}  // namespace cnnlab::winograd
