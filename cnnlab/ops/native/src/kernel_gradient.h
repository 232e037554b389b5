// The kernel's gradient in loops of our own. Knows nothing of XLA.
#pragma once

#include "convolution.h"
#include "pool.h"

namespace cnnlab {

// Where oneDNN has only general code, or code that these loops are faster than: on processors
// without AVX-512 for volumes, sequences, few output channels and whatever is dilated.
bool ServesKernelGradient(Pass pass, const Convolution& p);

// dk of <conv(x, k), dy>, float32 or bfloat16, summed in float32.
void KernelGradient(const Convolution& p, const void* x, const void* dy, void* kernel,
                    const Pool& pool);

// The same of x (batch, c_in, *spatial) and dy (batch, c_out, *out), the problem's shapes as they
// always are.
void KernelGradientChannelsFirst(const Convolution& p, const float* x, const float* dy,
                                 float* kernel, const Pool& pool);

}  // namespace cnnlab
