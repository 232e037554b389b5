#include "one_dnn.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "cache.h"
#include "parts.h"
#include "plan.h"
#include "scratch.h"
#include "team.h"

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
  for (const auto* v :
       {&p.x, &p.kernel, &p.y, &p.stride, &p.dilation, &p.low, &p.high, &p.within}) {
    for (int64_t n : *v) add(n);
  }
  return key;
}

using PlanOf = std::shared_ptr<const Plan>;

// Made for as many threads as OpenMP has here.
PlanOf Find(Pass pass, const Convolution& p, int threads) {
  return Cache().Get(Key(pass, p, threads), [&] { return MakePlan(pass, p); });
}

size_t Aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

void* Mutable(const void* data) { return const_cast<void*>(data); }

// What the primitive gets for a caller's array: the array, or a copy of it at `place`.
void* Load(const Slot& slot, const void* data, void* place, const Pool& pool) {
  if (!slot.reorder) return Mutable(data);
  if (slot.blocks) {
    slot.blocks->Copy(static_cast<const float*>(data), static_cast<float*>(place), pool);
  } else {
    slot.reorder->Run(data, place, pool);
  }
  return place;
}

// All arrays in the primitive's layouts.
void Execute(const Plan& plan, void* a, void* b, const void* bias, void* out, void* work) {
  dnnl::stream stream(Engine());
  std::unordered_map<int, dnnl::memory> arguments{{plan.a.arg, {plan.a.inner, Engine(), a}},
                                                  {plan.b.arg, {plan.b.inner, Engine(), b}},
                                                  {plan.out.arg, {plan.out.inner, Engine(), out}}};
  if (plan.bias) arguments[DNNL_ARG_BIAS] = {*plan.bias, Engine(), Mutable(bias)};
  if (plan.scratchpad.get_size() > 0) {
    arguments[DNNL_ARG_SCRATCHPAD] = {plan.scratchpad, Engine(), work};
  }
  plan.compute.execute(stream, arguments);
  stream.wait();
}

// A problem's parts, and what computes them; empty where they can't be computed so.
struct Planned {
  std::vector<Part> parts;
  std::vector<PlanOf> plans;
  size_t work = 0;  // bytes of scratch memory that a thread needs

  Planned(Pass pass, const Convolution& p, int64_t count) : parts(PartsOf(pass, p, count)) {
    const OneThread one;
    const bool of_kernel = pass == Pass::kKernelGradient;
    for (const Part& part : parts) {
      plans.push_back(Find(pass, part.problem, 1));
      const Plan &plan = *plans.back(), &first = *plans.front();
      const Slot &kernel = of_kernel ? plan.out : plan.b, &other = of_kernel ? plan.b : plan.out;
      const Slot& of_first = of_kernel ? first.out : first.b;
      if (plan.a.reorder || other.reorder || !(kernel.inner == of_first.inner)) {
        parts.clear();
        return;
      }
      work = std::max(work, Aligned(plan.scratchpad.get_size()));
    }
  }
};

// `data` and so many numbers more.
char* At(const void* data, int64_t numbers, const Convolution& p) {
  const auto bytes = static_cast<int64_t>(dnnl::memory::data_type_size(p.dtype));
  return static_cast<char*>(Mutable(data)) + numbers * bytes;
}

// The forward pass and the gradient in the input: each part has its own results.
bool ByParts(Pass pass, const Convolution& p, const void* a, const void* b, const void* bias,
             void* out, const Pool& pool) {
  const Planned cut(pass, p, pool.size());
  if (cut.parts.empty()) return false;
  const Slot& kernel = cut.plans[0]->b;
  const size_t of_kernel = kernel.reorder ? Aligned(kernel.inner.get_size()) : 0;
  const Scratch scratch(ScratchPool::Shared(), of_kernel + cut.work * pool.size());
  void* inner = Load(kernel, b, scratch.data(), pool);
  pool.ForEach(cut.parts.size(), [&](int thread, int64_t i) {
    const OneThread one;
    const Part& part = cut.parts[i];
    const bool forward = pass == Pass::kForward;
    Execute(*cut.plans[i], At(a, forward ? part.x : part.y, p), inner, bias,
            At(out, forward ? part.y : part.x, p), scratch.data() + of_kernel + thread * cut.work);
  });
  return true;
}

// to[i] = the sum of `count` arrays `apart` bytes from each other.
void Add(const char* from, int64_t count, size_t apart, int64_t size, float* to, const Pool& pool) {
  constexpr int64_t kShare = 1 << 14;
  pool.ForEach((size + kShare - 1) / kShare, [&](int, int64_t share) {
    const int64_t begin = share * kShare, end = std::min(size, begin + kShare);
    const auto* first = reinterpret_cast<const float*>(from);
    for (int64_t i = begin; i < end; ++i) to[i] = first[i];
    for (int64_t n = 1; n < count; ++n) {
      const auto* summand = reinterpret_cast<const float*>(from + n * apart);
      for (int64_t i = begin; i < end; ++i) to[i] += summand[i];
    }
  });
}

// The gradient in the kernel: the sum of the parts' results, in their order.
bool BySummands(const Convolution& p, const void* a, const void* b, void* out, const Pool& pool) {
  if (p.dtype != dnnl::memory::data_type::f32 || !Has(dnnl::cpu_isa::avx512_core)) return false;
  const Planned cut(Pass::kKernelGradient, p, pool.size());
  if (cut.parts.empty()) return false;
  const Slot& kernel = cut.plans[0]->out;
  const size_t one = Aligned(kernel.inner.get_size()), sums = one * cut.parts.size();
  const Scratch scratch(ScratchPool::Shared(), sums + cut.work * pool.size());
  pool.ForEach(cut.parts.size(), [&](int thread, int64_t i) {
    const OneThread alone;
    const Part& part = cut.parts[i];
    Execute(*cut.plans[i], At(a, part.x, p), At(b, part.y, p), nullptr, scratch.data() + i * one,
            scratch.data() + sums + thread * cut.work);
  });
  auto* total = kernel.reorder ? scratch.data() : static_cast<char*>(out);
  Add(scratch.data(), static_cast<int64_t>(cut.parts.size()), one,
      static_cast<int64_t>(kernel.inner.get_size() / sizeof(float)),
      reinterpret_cast<float*>(total), pool);
  if (kernel.reorder) kernel.reorder->Run(total, out, pool);
  return true;
}

// Of `rows` rows of `from` the first `bytes`, to rows of `to`.
void CopyRows(const char* from, size_t pitch, int64_t rows, size_t bytes, char* to, size_t apart) {
  for (int64_t row = 0; row < rows; ++row) std::memcpy(to + row * apart, from + row * pitch, bytes);
}

// Each slice of the kernel by itself, from the caller's array to results.
bool BySlices(Pass pass, const Convolution& p, const void* a, const void* b, const void* bias,
              void* out, const Pool& pool) {
  const auto slices = SlicesOf(pass, p, pool.size());
  if (slices.empty()) return false;
  const bool of_kernel = pass == Pass::kKernelGradient;
  const auto& wide = pass == Pass::kInputGradient ? p.x : p.y;  // what has the slices' channels
  const int64_t rows = Size(wide) / wide.back();
  const auto number = dnnl::memory::data_type_size(p.dtype);
  std::vector<PlanOf> plans;
  size_t kernel = 0, columns = 0, work = 0;
  {
    const OneThread one;
    for (const Slice& slice : slices) {
      plans.push_back(Find(pass, slice.problem, 1));
      const Plan& plan = *plans.back();
      const Slot &of_wide = of_kernel ? plan.b : plan.out, &inner = of_kernel ? plan.out : plan.b;
      if (plan.a.reorder || of_wide.reorder || !inner.reorder) return false;
      kernel = std::max(kernel, Aligned(inner.inner.get_size()));
      columns = std::max(columns, Aligned(of_wide.inner.get_size()));
      work = std::max(work, Aligned(plan.scratchpad.get_size()));
    }
  }
  const size_t own = kernel + columns + work;
  const Scratch scratch(ScratchPool::Shared(), own * pool.size());
  pool.ForEach(slices.size(), [&](int thread, int64_t i) {
    const OneThread one;
    const Pool alone(1, {});
    const Slice& slice = slices[i];
    const Plan& plan = *plans[i];
    char *of_slice = scratch.data() + own * thread, *copy = of_slice + kernel;
    const auto& some = pass == Pass::kInputGradient ? slice.problem.x : slice.problem.y;
    const size_t bytes = some.back() * number;
    if (of_kernel) {
      CopyRows(At(b, slice.first, p), wide.back() * number, rows, bytes, copy, bytes);
      Execute(plan, Mutable(a), copy, nullptr, of_slice, copy + columns);
      return plan.out.reorder->Run(of_slice, At(out, slice.kernel, p), alone);
    }
    Load(plan.b, At(b, slice.kernel, p), of_slice, alone);
    const void* offset = bias == nullptr ? nullptr : At(bias, slice.first, p);
    Execute(plan, Mutable(a), of_slice, offset, copy, copy + columns);
    CopyRows(copy, bytes, rows, bytes, At(out, slice.first, p), wide.back() * number);
  });
  return true;
}

// By a team of OpenMP's.
void ByTeam(Pass pass, const Convolution& p, const void* a, const void* b, const void* bias,
            void* out, const Pool& pool) {
  const Team team(Short(p) ? Team::Helpers::kNone : Team::Helpers::kAll);
  const auto plan = Find(pass, p, team.size());
  const Scratch scratch(ScratchPool::Shared(), plan->scratch_bytes);
  const auto place = [&](const Slot& slot) { return scratch.data() + slot.offset; };
  void* result = plan->out.reorder ? place(plan->out) : out;
  Execute(*plan, Load(plan->a, a, place(plan->a), pool), Load(plan->b, b, place(plan->b), pool),
          bias, result, scratch.data() + plan->scratchpad_offset);
  if (plan->out.reorder) plan->out.reorder->Run(result, out, pool);
}

}  // namespace

void ConvolveByOneDnn(Pass pass, const Convolution& p, const void* a, const void* b,
                      const void* bias, void* out, const Pool& pool) {
  if (BySlices(pass, p, a, b, bias, out, pool)) return;
  const bool done = pass == Pass::kKernelGradient ? BySummands(p, a, b, out, pool)
                                                  : ByParts(pass, p, a, b, bias, out, pool);
  if (!done) ByTeam(pass, p, a, b, bias, out, pool);
}

int64_t PlansKept() { return static_cast<int64_t>(Cache().Size()); }
int64_t PlansLimit() { return static_cast<int64_t>(LruCache<Plan>::kLimit); }

}  // namespace cnnlab
