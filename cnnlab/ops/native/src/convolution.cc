#include "convolution.h"

#include <unordered_map>

#include "cache.h"
#include "depthwise.h"
#include "few_positions.h"
#include "kernel_gradient.h"
#include "outputs_last.h"
#include "plan.h"
#include "scratch.h"
#include "special.h"
#include "strided.h"

namespace cnnlab {
namespace {

// Never destroyed: a thread of XLA's may still call while the process ends.
LruCache<Plan>& Cache() {
  static auto* cache = new LruCache<Plan>;
  return *cache;
}

std::string Key(Pass pass, const Convolution& p, int threads) {
  std::string key;
  const auto add = [&key](int64_t n) {
    key.append(reinterpret_cast<const char*>(&n), sizeof(n));
  };
  for (int64_t n : {static_cast<int64_t>(pass), p.groups, static_cast<int64_t>(p.dtype),
                    static_cast<int64_t>(p.bias), static_cast<int64_t>(p.activation),
                    static_cast<int64_t>(p.outputs_first),
                    static_cast<int64_t>(threads), static_cast<int64_t>(p.rank())}) {
    add(n);
  }
  for (const auto* v : {&p.x, &p.kernel, &p.y, &p.stride, &p.dilation, &p.low, &p.high}) {
    for (int64_t n : *v) add(n);
  }
  return key;
}

void* Mutable(const void* data) { return const_cast<void*>(data); }

}  // namespace

Team::Helpers HelpersFor(const Convolution& p) {
  constexpr int64_t kLittle = 1 << 18;  // multiply-adds: about as long as waking threads takes
  const int64_t work = Size(p.y) / p.y.back() * Size(p.kernel);
  return work < kLittle ? Team::Helpers::kNone : Team::Helpers::kAll;
}

namespace {

// In loops of our own.
bool Served(Pass pass, const Convolution& p) {
  return ServesDepthwise(pass, p) || ServesStrided(pass, p) || ServesKernelGradient(pass, p);
}

void Compute(Pass pass, const Convolution& problem, const void* a, const void* b, const void* bias,
             void* out) {
  if (ServesDepthwise(pass, problem)) return Depthwise(pass, problem, a, b, bias, out);
  if (ServesStrided(pass, problem)) {
    return StridedInputGradient(problem, static_cast<const float*>(a),
                                static_cast<const float*>(b), static_cast<float*>(out));
  }
  if (ServesKernelGradient(pass, problem)) return KernelGradient(problem, a, b, out);
  const Team team(HelpersFor(problem));
  const auto plan = Cache().Get(Key(pass, problem, team.size()),
                                [&] { return MakePlan(pass, problem); });
  const Scratch scratch(ScratchPool::Shared(), plan->scratch_bytes);
  dnnl::stream stream(Engine());

  // The primitive's view of an argument: the caller's array, or a copy in the inner layout.
  const auto inner = [&](const Slot& slot, void* data) {
    return dnnl::memory(slot.inner, Engine(),
                        slot.reorder ? scratch.data() + slot.offset : data);
  };
  const auto load = [&](const Slot& slot, const void* data) {
    auto memory = inner(slot, Mutable(data));
    if (slot.blocks) {
      slot.blocks->Copy(static_cast<const float*>(data),
                        static_cast<float*>(memory.get_data_handle()));
    } else if (slot.reorder) {
      dnnl::memory from(slot.outer, Engine(), Mutable(data));
      dnnl::reorder(*slot.reorder).execute(stream, from, memory);
    }
    return memory;
  };

  std::unordered_map<int, dnnl::memory> arguments{{plan->a.arg, load(plan->a, a)},
                                                  {plan->b.arg, load(plan->b, b)},
                                                  {plan->out.arg, inner(plan->out, out)}};
  if (plan->bias) arguments[DNNL_ARG_BIAS] = {*plan->bias, Engine(), Mutable(bias)};
  if (plan->scratchpad.get_size() > 0) {
    arguments[DNNL_ARG_SCRATCHPAD] = {plan->scratchpad, Engine(),
                                      scratch.data() + plan->scratchpad_offset};
  }
  plan->compute.execute(stream, arguments);
  if (plan->out.reorder) {
    dnnl::memory to(plan->out.outer, Engine(), out);
    dnnl::reorder(*plan->out.reorder).execute(stream, arguments[plan->out.arg], to);
  }
  stream.wait();
}

// oneDNN's ReLU where no sum can be NaN, which it makes 0 of, and where knowing that takes less
// than a pass over the result; our own otherwise.
void ComputeActivated(Pass pass, const Convolution& problem, const void* a, const void* b,
                      const void* bias, void* out) {
  const bool relu = problem.activation == Activation::kRelu && !ServesDepthwise(pass, problem);
  const bool small = 2 * Size(problem.y) <= Size(problem.x) + Size(problem.kernel);
  if (!relu || (!small && StaysFinite(problem, a, b, bias))) {
    return Compute(pass, problem, a, b, bias, out);
  }
  Convolution linear = problem;
  linear.activation = Activation::kNone;
  Compute(pass, linear, a, b, bias, out);
  Relu(problem, out);
}

constexpr char kOwnDepthwiseName[] = "dw:cnnlab";
constexpr char kFewPositionsName[] = "few:cnnlab";
constexpr char kOwnStridedName[] = "1x1:cnnlab";
constexpr char kOwnKernelGradientName[] = "bwd_w:cnnlab";

}  // namespace

void Convolve(Pass pass, const Convolution& problem, const void* a, const void* b,
              const void* bias, void* out, const Pool& pool) {
  if (ServesFewPositions(pass, problem)) {
    const auto floats = [](const void* data) { return static_cast<const float*>(data); };
    ConvolveFewPositions(pass, problem, floats(a), floats(b), floats(bias),
                         static_cast<float*>(out), pool);
    if (problem.activation == Activation::kRelu) Relu(problem, out);
    return;
  }
  if (problem.outputs_first && Served(pass, problem)) {
    return OutputsLast(pass, problem, b, out, [&](const auto& last, const void* b, void* out) {
      Convolve(pass, last, a, b, bias, out, pool);
    });
  }
  ComputeActivated(pass, problem, a, b, bias, out);
  if (pass == Pass::kInputGradient || !HasPadding(problem) ||
      FiniteBesidePadding(pass, problem, b, out)) {
    return;
  }
  // The padding's zeros are factors like others: times infinity or NaN they are NaN.
  const Convolution whole = WithoutPadding(problem);
  const Scratch padded(ScratchPool::Shared(),
                       Size(whole.x) * dnnl::memory::data_type_size(whole.dtype));
  Pad(problem, a, padded.data());
  ComputeActivated(pass, whole, padded.data(), b, bias, out);
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

int64_t PlansKept() { return static_cast<int64_t>(Cache().Size()); }
int64_t PlansLimit() { return static_cast<int64_t>(LruCache<Plan>::kLimit); }

}  // namespace cnnlab
