// Convolutions of sequences whose channels lie before their positions, as they lie: no copies
// between layouts. Knows nothing of XLA.
#pragma once

#include "convolution.h"
#include "pool.h"

namespace cnnlab {

// As `Convolve`, for float32, stride 1 and one group: x (batch, c_in, length), kernel
// (taps, c_in, c_out), y (batch, c_out, out), the problem's shapes as they always are.
void ConvolveChannelsFirst(Pass pass, const Convolution& problem, const float* a, const float* b,
                           float* out, const Pool& pool);

}  // namespace cnnlab
