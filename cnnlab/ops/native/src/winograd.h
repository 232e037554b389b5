// Minimal filtering F(4x4, 3x3) (Lavin and Gray, arXiv 1509.09308).
// Knows nothing of XLA.
#pragma once

#include "convolution.h"

namespace cnnlab {

// As `Convolve`, for two spatial axes, 3x3 kernels, stride and dilation 1, no groups, float32, and
// channels in multiples of 8. Serves Activation::kNone and kRelu.
void Winograd(Pass pass, const Convolution& problem, const float* a, const float* b,
              const float* bias, float* out, const Pool& pool);

}  // namespace cnnlab
