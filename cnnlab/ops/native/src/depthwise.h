// Depthwise convolutions in loops of our own. Knows nothing of XLA.
#pragma once

#include "convolution.h"

namespace cnnlab {

// Where these loops serve, and are faster than oneDNN's: many taps or dilated ones, stride 1, one or
// two spatial axes, as many channels in as out in multiples of 8. They have no GELU: Python leaves
// it to XLA.
bool ServesDepthwise(Pass pass, const Convolution& problem);

// As `Convolve`.
void Depthwise(Pass pass, const Convolution& problem, const void* a, const void* b,
               const void* bias, void* out, const Pool& pool);

}  // namespace cnnlab
