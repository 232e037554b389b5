// Convolutions by oneDNN, in parts on XLA's threads or by a team of OpenMP's. Knows nothing of XLA.
#pragma once

#include "convolution.h"

namespace cnnlab {

// As `Convolve`, for finite numbers.
void ConvolveByOneDnn(Pass pass, const Convolution& problem, const void* a, const void* b,
                      const void* bias, void* out, const Pool& pool);

}  // namespace cnnlab
