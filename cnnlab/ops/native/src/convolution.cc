#include "convolution.h"

#include "depthwise.h"
#include "few_positions.h"
#include "kernel_gradient.h"
#include "one_dnn.h"
#include "outputs_last.h"
#include "plan.h"
#include "scratch.h"
#include "special.h"
#include "strided.h"

namespace cnnlab {
bool Short(const Convolution& p) {
  constexpr int64_t kLittle = 1 << 18;  // multiply-adds
  return Size(p.y) / p.y.back() * Size(p.kernel) < kLittle;
}

Pool PoolFor(const Convolution& p, const Pool& all) { return Short(p) ? Pool(1, {}) : all; }

namespace {

// In loops of our own.
bool Served(Pass pass, const Convolution& p) {
  return ServesDepthwise(pass, p) || ServesStrided(pass, p) || ServesKernelGradient(pass, p);
}

void Compute(Pass pass, const Convolution& problem, const void* a, const void* b, const void* bias,
             void* out, const Pool& pool) {
  if (ServesDepthwise(pass, problem)) return Depthwise(pass, problem, a, b, bias, out, pool);
  if (ServesStrided(pass, problem)) {
    return StridedInputGradient(problem, static_cast<const float*>(a),
                                static_cast<const float*>(b), static_cast<float*>(out), pool);
  }
  if (ServesKernelGradient(pass, problem)) return KernelGradient(problem, a, b, out, pool);
  ConvolveByOneDnn(pass, problem, a, b, bias, out, pool);
}

// oneDNN's ReLU where no sum can be NaN, which it makes 0 of, and where knowing that takes less
// than a pass over the result; our own otherwise.
void ComputeActivated(Pass pass, const Convolution& problem, const void* a, const void* b,
                      const void* bias, void* out, const Pool& pool) {
  const bool relu = problem.activation == Activation::kRelu && !ServesDepthwise(pass, problem);
  const bool small = 2 * Size(problem.y) <= Size(problem.x) + Size(problem.kernel);
  if (!relu || (!small && StaysFinite(problem, a, b, bias, pool))) {
    return Compute(pass, problem, a, b, bias, out, pool);
  }
  Convolution linear = problem;
  linear.activation = Activation::kNone;
  Compute(pass, linear, a, b, bias, out, pool);
  Relu(problem, out, pool);
}

constexpr char kOwnDepthwiseName[] = "dw:cnnlab";
constexpr char kFewPositionsName[] = "few:cnnlab";
constexpr char kOwnStridedName[] = "1x1:cnnlab";
constexpr char kOwnKernelGradientName[] = "bwd_w:cnnlab";

}  // namespace

void Convolve(Pass pass, const Convolution& problem, const void* a, const void* b,
              const void* bias, void* out, const Pool& all) {
  const Pool pool = PoolFor(problem, all);
  if (ServesFewPositions(pass, problem)) {
    const auto floats = [](const void* data) { return static_cast<const float*>(data); };
    ConvolveFewPositions(pass, problem, floats(a), floats(b), floats(bias),
                         static_cast<float*>(out), pool);
    if (problem.activation == Activation::kRelu) Relu(problem, out, pool);
    return;
  }
  if (problem.outputs_first && Served(pass, problem)) {
    const auto run = [&](const Convolution& last, const void* b, void* out) {
      Convolve(pass, last, a, b, bias, out, pool);
    };
    return OutputsLast(pass, problem, b, out, pool, run);
  }
  ComputeActivated(pass, problem, a, b, bias, out, pool);
  if (pass == Pass::kInputGradient || !HasPadding(problem) ||
      FiniteBesidePadding(pass, problem, b, out, pool)) {
    return;
  }
  // The padding's zeros are factors like others: times infinity or NaN they are NaN.
  const Convolution whole = WithoutPadding(problem);
  const Scratch padded(ScratchPool::Shared(),
                       Size(whole.x) * dnnl::memory::data_type_size(whole.dtype));
  Pad(problem, a, padded.data());
  ComputeActivated(pass, whole, padded.data(), b, bias, out, pool);
}

Code CodeOf(const std::string& implementation) {
  const auto begins = [&](const char* with) { return implementation.rfind(with, 0) == 0; };
  if (implementation.empty()) return Code::kNone;
  if (implementation == kOwnDepthwiseName) return Code::kOwnDepthwise;
  if (implementation == kFewPositionsName || implementation == kOwnStridedName ||
      implementation == kOwnKernelGradientName) {
    return Code::kCompiled;
  }
  // What oneDNN writes at run time is called jit.., brg.. (batch-reduced products) or brdgmm...
  if (!begins("jit") && !begins("brg") && !begins("brdgmm")) return Code::kGeneral;
  return implementation.find("dw") == std::string::npos ? Code::kCompiled : Code::kDepthwise;
}

std::string Implementation(Pass pass, const Convolution& problem) {
  if (ServesFewPositions(pass, problem)) return kFewPositionsName;
  if (ServesDepthwise(pass, problem)) return kOwnDepthwiseName;
  if (ServesStrided(pass, problem)) return kOwnStridedName;
  if (ServesKernelGradient(pass, problem)) return kOwnKernelGradientName;
  return OfOneDnn(pass, problem);
}

bool Has(dnnl::cpu_isa instructions) {
  const auto wanted = static_cast<unsigned>(instructions);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

}  // namespace cnnlab
