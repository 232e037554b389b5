// Dense convolutions of so few positions that reading the kernel takes longest. Knows nothing of
// XLA.
#pragma once

#include "convolution.h"
#include "pool.h"

namespace cnnlab {

// float32, one group, without GELU.
bool ServesFewPositions(Pass pass, const Convolution& problem);

// As `Convolve`, but for the activation. The kernel is read where it lies, and the order of a sum
// depends on neither batch nor threads: nor do an example's results.
void ConvolveFewPositions(Pass pass, const Convolution& problem, const float* a, const float* b,
                          const float* bias, float* out, const Pool& pool);

}  // namespace cnnlab
