// A convolution made ready to run for one shape: oneDNN's primitive, and the reorders between the
// caller's channels-last arrays and the layouts that the primitive wants.
#pragma once

#include <optional>
#include <string>

#include "convolution.h"
#include "kernel_blocks.h"
#include "reorder.h"

namespace cnnlab {

// An argument of the primitive.
struct Slot {
  int arg = 0;
  dnnl::memory::desc outer;               // the caller's layout
  dnnl::memory::desc inner;               // the primitive's
  std::optional<Reorder> reorder;        // where they differ: before it (inputs), after (output)
  std::optional<KernelBlocks> blocks;     // what does the same, faster
  size_t offset = 0;                      // of the inner copy in the scratch memory
};

struct Plan {
  dnnl::primitive compute;
  Slot a, b, out;
  std::optional<dnnl::memory::desc> bias;
  dnnl::memory::desc scratchpad;
  size_t scratchpad_offset = 0;
  size_t scratch_bytes = 0;  // inner copies and oneDNN's own scratchpad
};

// Throw dnnl::error where oneDNN has no implementation.
Plan MakePlan(Pass pass, const Convolution& problem);

// The kernel of a problem from how it lies in `from` to how it lies in `to`.
void CopyKernel(const Convolution& from, const void* kernel, const Convolution& to, void* copy,
                const Pool& pool);

std::string OfOneDnn(Pass pass, const Convolution& problem);  // the implementation's name

}  // namespace cnnlab
