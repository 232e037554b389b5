// One convolution and its two transposes, by oneDNN or in loops of our own. Knows nothing of XLA.
#pragma once

#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "dnnl.hpp"
#include "pool.h"

namespace cnnlab {

enum class Pass : int64_t { kForward = 0, kInputGradient = 1, kKernelGradient = 2 };
enum class Activation : int64_t { kNone = 0, kRelu = 1, kGelu = 2 };

// Shapes are channels last, as `ops.conv` has them: x (batch, *spatial, c_in),
// kernel (*kernel_size, c_in / groups, c_out), y (batch, *out, c_out). In memory the kernel may lie
// with its outputs first, (c_out, c_in / groups, *kernel_size), as PyTorch and Equinox have it.
struct Convolution {
  std::vector<int64_t> x, kernel, y;
  std::vector<int64_t> stride, dilation, low, high;  // one a spatial axis
  int64_t groups = 1;
  dnnl::memory::data_type dtype = dnnl::memory::data_type::f32;
  bool outputs_first = false;                  // how the kernel lies
  std::vector<int64_t> within;                 // shape of the kernel that it is part of; empty: none
  bool bias = false;                           // forward only
  Activation activation = Activation::kNone;  // forward only

  int rank() const { return static_cast<int>(stride.size()); }
  const std::vector<int64_t>& lies_in() const { return within.empty() ? kernel : within; }
};

inline int64_t Size(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>());
}

// Whether waking threads would take longer. A function of the problem alone, as the order of sums is
// of the number of threads: what is computed again is the same again, whatever runs beside it.
bool Short(const Convolution& problem);

// `all`, or the calling thread alone where the problem is short.
Pool PoolFor(const Convolution& problem, const Pool& all);

// forward: a = x, b = kernel, out = y (bias may be null); input gradient: a = dy, b = kernel,
// out = dx; kernel gradient: a = x, b = dy, out = dkernel. Throws dnnl::error.
void Convolve(Pass pass, const Convolution& problem, const void* a, const void* b,
              const void* bias, void* out, const Pool& pool);

// Name of the implementation that would be taken: oneDNN's, such as "jit:avx2", or one of our own.
std::string Implementation(Pass pass, const Convolution& problem);

// What an implementation's name says of its code: general, made for the shape, made for depthwise
// convolutions, our own loops for them. In the order of `Code` in engine.py.
enum class Code : int64_t { kNone = 0, kGeneral, kCompiled, kDepthwise, kOwnDepthwise };

Code CodeOf(const std::string& implementation);

// Whether the processor has these instructions, and oneDNN may use them.
bool Has(dnnl::cpu_isa instructions);

// Primitives kept now, and the most that are kept.
int64_t PlansKept();
int64_t PlansLimit();

}  // namespace cnnlab
