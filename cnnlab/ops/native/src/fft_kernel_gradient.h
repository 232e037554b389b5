// The kernel's gradient by Fourier transforms: part of fft_convolution.h.
#pragma once

#include "fft_map.h"

namespace cnnlab {

// dk of <conv(x, k), dy>, of a map from x to `to`, whose data are dy's; summed over the batch in the
// frequencies.
void FftKernelGradient(const Map& map, const float* dy, float* dk, Team::Helpers helpers);

}  // namespace cnnlab
