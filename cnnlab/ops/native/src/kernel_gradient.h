// The kernel's gradient in loops of our own. Knows nothing of XLA.
#pragma once

#include "convolution.h"

namespace cnnlab {

// Where oneDNN has only general code, or code that these loops are faster than: on processors
// without AVX-512 for volumes, sequences, few output channels and whatever is dilated.
bool ServesKernelGradient(Pass pass, const Convolution& p);

// dk of <conv(x, k), dy>, float32 or bfloat16, summed in float32. Channels may come first, x (batch,
// c_in, *spatial) and dy (batch, c_out, *out), in float32.
void KernelGradient(const Convolution& p, const void* x, const void* dy, void* kernel,
                    bool channels_first = false);

}  // namespace cnnlab
