// The short pieces of a causal dense convolution: part of fft_dense.h.
#pragma once

#include <omp.h>

#include <algorithm>

#include "fft_map.h"
#include "panels.h"

namespace cnnlab {

// Pieces of `length` entries, inside of which the sums are products of matrices: a row is a result,
// its terms are the entries up to it and their channels. No later entry is met.
struct DenseDirect {
  const Map& map;
  int64_t length;

  int64_t panels() const { return (map.columns + kPanel - 1) / kPanel; }
  int64_t taps() const { return length * map.rows * kPanel; }  // of a panel
  int64_t size() const { return map.groups * panels() * taps(); }
  // Of a thread: a piece behind entries that are zero, then some results.
  int64_t work() const {
    return (kMostRows - 1 + length) * map.rows + kMostRows * kPanel;
  }

  // By all threads of a team.
  void Compute(const float* kernel, float* all, float* work) const {
    const Sequences s = map.sequences();
    const int64_t columns = map.groups * panels();  // panels of all groups
    const int64_t pieces = (s.outputs + length - 1) / length, items = map.from.batch * pieces;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < columns; ++i) Fill(kernel, i / panels(), i % panels(), all + i * taps());
#pragma omp for schedule(static)
    for (int64_t i = 0; i < columns * items; ++i) {
      const int64_t panel = i / items, example = i % items / pieces;
      Piece(panel / panels(), panel % panels(), example, i % pieces * length, all + panel * taps(),
            work);
    }
  }

 private:
  // Taps from the last lag to the first.
  void Fill(const float* kernel, int64_t group, int64_t panel, float* to) const {
    const int64_t first = panel * kPanel, count = std::min(kPanel, map.columns - first);
    std::fill_n(to, taps(), 0.f);
    for (int64_t lag = length - 1; lag >= 0; --lag, to += map.rows * kPanel) {
      const int64_t position = map.PositionOf(lag), tap = position / map.dilation;
      if (position < 0 || position % map.dilation != 0 || tap >= map.taps) continue;
      const float* const from = kernel + tap * map.group_in * map.out_channels;
      for (int64_t row = 0; row < map.rows; ++row) {
        for (int64_t c = 0; c < count; ++c) {
          to[row * kPanel + c] = from[map.Weight(group, row, first + c)];
        }
      }
    }
  }

  void Piece(int64_t group, int64_t panel, int64_t example, int64_t first, const float* taps,
             float* work) const {
    const int64_t rows = map.rows, column = panel * kPanel;
    const Sequences s = map.sequences();
    const Strand from = map.from.Adjacent(example, group * rows, 1, 0);
    const Strand to = map.to.Adjacent(example, group * map.columns + column, 1, 0);
    float* const entries = work + (kMostRows - 1) * rows;
    float* const sums = entries + length * rows;
    std::fill_n(work, (kMostRows - 1) * rows, 0.f);
    for (int64_t p = 0; p < length; ++p) {
      const float* const at = from.At(first + p);
      float* const entry = entries + p * rows;
      at != nullptr ? std::copy_n(at, rows, entry) : std::fill_n(entry, rows, 0.f);
    }
    const int64_t count = std::min(length, s.outputs - first);
    for (int64_t p = 0; p < count; p += kMostRows) {
      const int64_t present = std::min<int64_t>(kMostRows, count - p);
      const int64_t lags = std::min(p + present - 1, s.last_lag) + 1;
      const Factors x{entries + (p - lags + 1) * rows, rows, 1};
      const float* const w = taps + (length - lags) * rows * kPanel;
      Multiply(present, x, w, kPanel, lags * rows, sums, kPanel, false);
      for (int64_t k = 0; k < present; ++k) {
        if (float* const at = to.At(first + p + k)) {
          std::copy_n(sums + k * kPanel, std::min(kPanel, map.columns - column), at);
        }
      }
    }
  }
};

}  // namespace cnnlab
