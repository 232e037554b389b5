// How a convolution of sequences is cut into blocks whose Fourier transforms are multiplied.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fourier.h"

namespace cnnlab {

// y[p] = sum over lags of x[p - lag] k[lag], `lags` from the first to the last that has a tap.
struct Sequences {
  int64_t inputs, outputs;  // lengths: x[0 .. inputs - 1] and y[0 .. outputs - 1]
  int64_t first_lag, last_lag;
};

// Blocks of h entries, input block i and output block j, counted from entry 0 and from entry
// `-shift`. Of the lags `(d - 1) h < lag < (d + 1) h`, the window d, block i has its part in block
// i + d: the second half of a circular convolution of 2 h entries of the block, behind it zeros,
// with the taps of lags `(d - 1) h + u`, u = 0 .. 2 h - 1. As half of the input is zero, and of the
// result only one half is wanted, even and odd frequencies are two transforms of h entries.
struct Level {
  int64_t h = 2;
  int64_t first_window = 0, last_window = 0;
  int64_t inputs = 1;                      // blocks of the input
  int64_t first_output = 0, outputs = 1;  // blocks of the result
  std::shared_ptr<const Fourier> fourier;

  // Leaves out blocks that no window joins to others: the last inputs, the first results.
  void Trim();

  int64_t windows() const { return last_window - first_window + 1; }
  // From one row of `h` entries to the next, in floats: not a multiple of what caches go by.
  int64_t row() const { return h * kEntry + 17 * kEntry; }
};

// Either one level that has every lag; or, where later inputs may not touch earlier results, levels
// of smaller and smaller blocks, each inside of a block of the level before and without its window
// 0, down to pieces of `direct` entries that are summed tap by tap (van der Hoeven, Relax, but don't
// be too lazy, 2002; with blocks by the dozen in place of halves).
struct FftPlan {
  Sequences sequences;
  int64_t shift = 0;
  std::vector<Level> levels;
  int64_t direct = 0;  // a multiple of kResults

  // The fastest cut, kept for the next call; `examples`: sequences that one kernel meets.
  static std::shared_ptr<const FftPlan> Get(const Sequences& s, int64_t examples, bool causal);

  // Entries of the longest pieces that are inside of nothing.
  int64_t block() const { return levels.empty() ? direct : levels[0].h; }

 private:
  static FftPlan Whole(const Sequences& s, int64_t examples);
  static FftPlan Causal(const Sequences& s);
};

}  // namespace cnnlab
