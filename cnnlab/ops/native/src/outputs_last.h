// For what reads and writes kernels with their outputs last only.
#pragma once

#include <functional>

#include "convolution.h"

namespace cnnlab {

// A pass (operands as for `Convolve`) of a problem whose kernel lies outputs first, by `run`, which
// gets the problem with them last, the second operand and the place of the result.
void OutputsLast(Pass pass, const Convolution& problem, const void* b, void* out, const Pool& pool,
                 const std::function<void(const Convolution&, const void*, void*)>& run);

}  // namespace cnnlab
