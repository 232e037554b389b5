// Convolutions of sequences by Fourier transforms. Knows nothing of XLA.
#pragma once

#include "convolution.h"
#include "team.h"

namespace cnnlab {

// As `Convolve`, for one spatial axis, float32, no bias. The groups' channels lie side by side in
// vectors, two of which are one complex sequence; no example meets another. A causal convolution and
// its gradient in the input are causal to the bit. Results whose window holds nothing but zeros are 0.
void FftConvolve(Pass pass, const Convolution& problem, const float* a, const float* b, float* out);

}  // namespace cnnlab
