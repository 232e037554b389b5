// Convolutions between many channels by Fourier transforms: part of fft_convolution.h.
#pragma once

#include "fft_map.h"
#include "team.h"

namespace cnnlab {

// The forward pass or the gradient in the input, whichever the map is of; and the kernel's gradient,
// of a map from x to dy. Channels are transformed one by one, and for each frequency a matrix of
// them, one row a block, is multiplied with the kernel's.
void FftDense(const Map& map, float* kernel, Team::Helpers helpers);
void FftDenseKernelGradient(const Map& map, float* dk, Team::Helpers helpers);

}  // namespace cnnlab
