// What is no number (NaN, infinity) and must not get lost: oneDNN's ReLU makes 0 of NaN, and what
// lies in the padding it leaves out, where 0 times infinity is NaN.
#pragma once

#include "convolution.h"

namespace cnnlab {

// Whether no sum of `problem`'s forward pass, bias included, can be NaN or infinite.
bool StaysFinite(const Convolution& problem, const void* x, const void* kernel,
                 const void* bias, const Pool& pool);

// max(y, 0) in place. NaN stays.
void Relu(const Convolution& problem, void* y, const Pool& pool);

bool HasPadding(const Convolution& problem);

// Whether all that a pass multiplies with the padding's zeros is finite: the kernel, `other`, and in
// the kernel's gradient `other` again, the cotangent. `out` is the pass's result, which is read in
// its place where it is smaller.
bool FiniteBesidePadding(Pass pass, const Convolution& problem, const void* other,
                         const void* out, const Pool& pool);

// `problem` without padding, for the input that `Pad` makes.
Convolution WithoutPadding(const Convolution& problem);

// x with the padding's zeros around it.
void Pad(const Convolution& problem, const void* x, void* padded);

}  // namespace cnnlab
