// A kernel in the layout that oneDNN wants: blocks of output or of input channels.
#pragma once

#include <optional>

#include "convolution.h"

namespace cnnlab {

// Copies a kernel that has its outputs last: rows of them into their blocks, as forward passes want
// it, or turned around, as gradients in the input do. oneDNN's own reorder takes up to four times
// as long, which is a third of a pass over one small image.
class KernelBlocks {
 public:
  // For the layout `inner` of the kernel of `problem`; nothing where it is not of that form.
  static std::optional<KernelBlocks> For(const Convolution& problem,
                                         const dnnl::memory::desc& inner);

  void Copy(const float* kernel, float* to, const Pool& pool) const;

 private:
  void CopyOutputs(const float* from, int64_t count, float* to) const;
  void CopyInputs(const float* from, int64_t count, float* to) const;

  bool of_inputs_;                                     // what blocks are of
  int64_t taps_, groups_, in_, out_, block_;           // channels of one group
  int64_t row_, of_outer_tap_;                         // strides of the kernel
  int64_t of_tap_, of_group_, of_row_, of_block_;      // strides of the result
};

}  // namespace cnnlab
