// A kernel in the layout that oneDNN's forward pass wants: blocks of output channels.
#pragma once

#include <optional>

#include "convolution.h"

namespace cnnlab {

// Copies rows of output channels into their blocks. oneDNN's own reorder takes up to four times as
// long, which is a third of a pass over one small image.
class KernelBlocks {
 public:
  // For the layout `inner` of the kernel of `problem`; nothing where it is not of that form.
  static std::optional<KernelBlocks> For(const Convolution& problem,
                                         const dnnl::memory::desc& inner);

  // On as many threads as OpenMP gives.
  void Copy(const float* kernel, float* to) const;

 private:
  int64_t taps_, groups_, in_, out_, block_;         // channels of one group
  int64_t of_tap_, of_group_, of_in_, of_block_;     // strides of the result
};

}  // namespace cnnlab
