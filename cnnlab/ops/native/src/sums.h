// Sums of an array over all axes but the first ones and a run of neighbours: the statistics of a
// normalisation, the gradient of a bias.
#pragma once

#include <cstdint>

#include "pool.h"

namespace cnnlab {

// sums (each, kept) of x (each, outer, kept, inner). In parts that depend on the shape alone, so
// that whoever does them gets the same numbers.
void Sums(const float* x, int64_t each, int64_t outer, int64_t kept, int64_t inner, float* sums,
          const Pool& pool);

}  // namespace cnnlab
