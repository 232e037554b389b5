// How a dense convolution of sequences is cut into blocks: part of fft_dense.h.
#pragma once

#include <vector>

#include "fft_map.h"

namespace cnnlab {

// Blocks whose transforms, of 2 h entries, meet one spectrum of the kernel, that of the lags from
// `lag` on. Block j gives `results` results from `first + j step` on, the last of its 2 h; of the
// inputs that these windows could hold it takes the first `inputs`.
struct Cut {
  int64_t h, results, inputs, first, step, count, lag;

  int64_t Result(int64_t j) const { return first + j * step; }
  int64_t Input(int64_t j) const { return Result(j) - lag - behind(); }
  int64_t behind() const { return 2 * h - results; }  // entries before the results
};

// Either one cut, where each block reads all that its results need (overlap-save), as few products
// for a result as there can be. Or, where later inputs may not touch earlier results: pieces of
// `direct` entries that are summed tap by tap; pieces twice as long, of which the first half gives to
// the second; and so on; and what all before gives to the longest (van der Hoeven, Relax, but don't be
// too lazy, 2002).
struct Cuts {
  int64_t direct = 0;  // 0: none
  std::vector<Cut> cuts;

  // The fastest, kept for the next call.
  static std::shared_ptr<const Cuts> Get(const Map& map, bool causal);
};

// Vectors of the results' channels in a group.
inline int64_t VectorsOf(int64_t columns) { return (columns + kWidest - 1) / kWidest; }

}  // namespace cnnlab
