// Gradients in the input of convolutions that skip positions and read only one of each window, the
// 1x1 with a stride. Knows nothing of XLA.
#pragma once

#include "convolution.h"

namespace cnnlab {

bool ServesStrided(Pass pass, const Convolution& problem);

// `dy` (batch, *out, c_out) times the kernel's transpose, and zeros in between: `dx`, written once.
void StridedInputGradient(const Convolution& problem, const float* dy, const float* kernel,
                          float* dx, const Pool& pool);

}  // namespace cnnlab
