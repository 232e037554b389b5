#include "outputs_last.h"

#include "plan.h"
#include "scratch.h"

namespace cnnlab {

void OutputsLast(Pass pass, const Convolution& problem, const void* b, void* out, const Pool& pool,
                 const std::function<void(const Convolution&, const void*, void*)>& run) {
  Convolution last = problem;
  last.outputs_first = false;
  const Scratch scratch(ScratchPool::Shared(),
                        Size(problem.kernel) * dnnl::memory::data_type_size(problem.dtype));
  const auto copy = [&](const Convolution& from, const void* kernel, const Convolution& to,
                        void* place) {
    CopyKernel(from, kernel, to, place, pool);
  };
  if (pass == Pass::kKernelGradient) {
    run(last, b, scratch.data());
    copy(last, scratch.data(), problem, out);
  } else {
    copy(problem, b, last, scratch.data());
    run(last, scratch.data(), out);
  }
}

}  // namespace cnnlab
