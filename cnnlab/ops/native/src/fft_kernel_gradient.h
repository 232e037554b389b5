// The kernel's gradient by Fourier transforms: part of fft_convolution.h.
#pragma once

#include "fft_map.h"
#include "team.h"

namespace cnnlab {

// dk of <conv(x, k), dy>, of a map from x to dy; summed over the batch in the frequencies.
void FftKernelGradient(const Map& map, float* dk, Team::Helpers helpers);

}  // namespace cnnlab
