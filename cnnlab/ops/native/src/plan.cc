#include "plan.h"

#include <functional>

namespace cnnlab {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using Dims = memory::dims;

constexpr size_t kAlignment = 64;

// Row-major strides of a shape.
Dims Strides(const Dims& shape) {
  Dims strides(shape.size(), 1);
  for (size_t i = shape.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

// (batch, *spatial, c) in oneDNN's logical order (batch, c, *spatial).
Dims ChannelsSecond(const Dims& v) {
  Dims moved{v.front(), v.back()};
  moved.insert(moved.end(), v.begin() + 1, v.end() - 1);
  return moved;
}

// (*kernel_size, c_in / g, c_out) in the logical order ([g,] c_out / g, c_in / g, *kernel_size).
Dims KernelShape(const Dims& k, int64_t groups) {
  Dims shape{k[k.size() - 1] / groups, k[k.size() - 2]};
  if (groups > 1) shape.insert(shape.begin(), groups);
  shape.insert(shape.end(), k.begin(), k.end() - 2);
  return shape;
}

Dims KernelStrides(const Convolution& p) {
  if (p.outputs_first) return Strides(KernelShape(p.lies_in(), p.groups));
  const Dims plain = Strides(p.lies_in());
  Dims strides{1, plain[plain.size() - 2]};
  if (p.groups > 1) strides.insert(strides.begin(), p.kernel.back() / p.groups);
  strides.insert(strides.end(), plain.begin(), plain.end() - 2);
  return strides;
}

struct Layouts {
  memory::desc x, kernel, y;
};

Layouts CallersLayouts(const Convolution& p) {
  return {{ChannelsSecond(p.x), p.dtype, ChannelsSecond(Strides(p.x))},
          {KernelShape(p.kernel, p.groups), p.dtype, KernelStrides(p)},
          {ChannelsSecond(p.y), p.dtype, ChannelsSecond(Strides(p.y))}};
}

memory::desc AnyLayout(const memory::desc& md) {
  return {md.get_dims(), md.get_data_type(), memory::format_tag::any};
}

dnnl::primitive_attr Attributes(const Convolution& p) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (p.activation != Activation::kNone) {
    const bool relu = p.activation == Activation::kRelu;
    dnnl::post_ops ops;
    ops.append_eltwise(relu ? algorithm::eltwise_relu : algorithm::eltwise_gelu_tanh, 0.f, 0.f);
    attr.set_post_ops(ops);
  }
  return attr;
}

Slot MakeSlot(int arg, const memory::desc& outer, const memory::desc& inner, bool output) {
  Slot slot{arg, outer, inner, std::nullopt, std::nullopt, 0};
  if (outer == inner) return slot;
  slot.reorder = output ? Reorder(inner, outer) : Reorder(outer, inner);
  return slot;
}

size_t Take(size_t& total, size_t bytes) {
  const size_t offset = total;
  total += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return offset;
}

template <typename Description>
Plan Finish(const Description& pd, Slot a, Slot b, Slot out) {
  Plan plan;
  plan.compute = dnnl::primitive(pd);
  plan.scratchpad = pd.scratchpad_desc();
  for (Slot* slot : {&a, &b, &out}) {
    if (slot->reorder) slot->offset = Take(plan.scratch_bytes, slot->inner.get_size());
  }
  plan.scratchpad_offset = Take(plan.scratch_bytes, plan.scratchpad.get_size());
  plan.a = std::move(a);
  plan.b = std::move(b);
  plan.out = std::move(out);
  return plan;
}

// What oneDNN would compute with. Code is compiled, for 10 to 50 ms, when the plan is made.
struct Choice {
  std::string implementation;
  std::function<Plan()> make;
};

// `layouts` are what oneDNN is asked for, `callers` what the arrays have.
Choice ChoiceFor(Pass pass, const Convolution& p, const Layouts& layouts, const Layouts& callers) {
  const auto direct = algorithm::convolution_direct;
  const auto attr = Attributes(p);
  Dims dilates = p.dilation;  // oneDNN counts the gaps
  for (auto& d : dilates) --d;

  std::optional<memory::desc> bias;
  if (p.bias) bias = memory::desc({p.kernel.back()}, p.dtype, Dims{1});
  const auto kind = pass == Pass::kForward ? prop_kind::forward_inference
                                           : prop_kind::forward_training;
  const auto forward =
      bias ? dnnl::convolution_forward::primitive_desc(Engine(), kind, direct, layouts.x,
                                                       layouts.kernel, *bias, layouts.y, p.stride,
                                                       dilates, p.low, p.high, attr)
           : dnnl::convolution_forward::primitive_desc(Engine(), kind, direct, layouts.x,
                                                       layouts.kernel, layouts.y, p.stride, dilates,
                                                       p.low, p.high, attr);
  if (pass == Pass::kForward) {
    return {forward.impl_info_str(), [=] {
      Plan plan = Finish(forward, MakeSlot(DNNL_ARG_SRC, callers.x, forward.src_desc(), false),
                         MakeSlot(DNNL_ARG_WEIGHTS, callers.kernel, forward.weights_desc(), false),
                         MakeSlot(DNNL_ARG_DST, callers.y, forward.dst_desc(), true));
      if (plan.b.reorder) plan.b.blocks = KernelBlocks::For(p, plan.b.inner);
      plan.bias = bias;
      return plan;
    }};
  }
  if (pass == Pass::kInputGradient) {
    const dnnl::convolution_backward_data::primitive_desc pd(
        Engine(), direct, layouts.x, layouts.kernel, layouts.y, p.stride, dilates, p.low, p.high,
        forward, attr);
    return {pd.impl_info_str(), [=] {
      Plan plan = Finish(pd, MakeSlot(DNNL_ARG_DIFF_DST, callers.y, pd.diff_dst_desc(), false),
                         MakeSlot(DNNL_ARG_WEIGHTS, callers.kernel, pd.weights_desc(), false),
                         MakeSlot(DNNL_ARG_DIFF_SRC, callers.x, pd.diff_src_desc(), true));
      if (plan.b.reorder) plan.b.blocks = KernelBlocks::For(p, plan.b.inner);
      return plan;
    }};
  }
  const dnnl::convolution_backward_weights::primitive_desc pd(
      Engine(), direct, layouts.x, layouts.kernel, layouts.y, p.stride, dilates, p.low, p.high,
      forward, attr);
  return {pd.impl_info_str(), [=] {
    return Finish(pd, MakeSlot(DNNL_ARG_SRC, callers.x, pd.src_desc(), false),
                  MakeSlot(DNNL_ARG_DIFF_DST, callers.y, pd.diff_dst_desc(), false),
                  MakeSlot(DNNL_ARG_DIFF_WEIGHTS, callers.kernel, pd.diff_weights_desc(), true));
  }};
}

bool Compiled(const Choice& choice) { return CodeOf(choice.implementation) >= Code::kCompiled; }

// Strides of channels-last arrays cost these more than two copies, once the arrays outgrow a cache:
// the kernel's gradient, and the input's where each group has its own few channels.
bool BetterBlocked(Pass pass, const Convolution& p, const Choice& plain) {
  constexpr int64_t kLarge = 1 << 20;  // numbers; measured on AVX2
  if (Size(p.x) < kLarge) return false;
  const bool depthwise = p.x.back() == p.groups;
  const auto& name = plain.implementation;
  if (pass == Pass::kKernelGradient) return name == "jit:avx2" && !depthwise;
  return pass == Pass::kInputGradient && name == "brg_fwd:avx2+brgconv:avx2" && p.groups > 2;
}

// Activations as they are; in oneDNN's own layout where there is no compiled code for that, or
// where it pays.
Choice ChooseLayout(Pass pass, const Convolution& p) {
  const Layouts callers = CallersLayouts(p);
  Choice plain = ChoiceFor(pass, p, {callers.x, AnyLayout(callers.kernel), callers.y}, callers);
  if (Compiled(plain) && !BetterBlocked(pass, p, plain)) return plain;
  const Layouts any{AnyLayout(callers.x), AnyLayout(callers.kernel), AnyLayout(callers.y)};
  Choice blocked = ChoiceFor(pass, p, any, callers);
  return Compiled(blocked) ? std::move(blocked) : std::move(plain);
}

// A sequence as an image of a single row.
Convolution AsRow(Convolution p) {
  for (auto* shape : {&p.x, &p.y}) shape->insert(shape->begin() + 1, 1);
  p.kernel.insert(p.kernel.begin(), 1);
  if (!p.within.empty()) p.within.insert(p.within.begin(), 1);
  for (auto* v : {&p.stride, &p.dilation}) v->insert(v->begin(), 1);
  for (auto* v : {&p.low, &p.high}) v->insert(v->begin(), 0);
  return p;
}

// A sequence as an image with rows as long as the dilation is: taps lie one below the other, and
// columns are sequences that are not dilated. Without dilation it is a single column.
std::optional<Convolution> AsRows(Convolution p) {
  const int64_t d = p.dilation[0];
  const bool whole = p.x[1] % d == 0 && p.y[1] % d == 0 && p.low[0] % d == 0;
  if (d > 1 && (p.stride[0] > 1 || !whole)) return std::nullopt;
  for (auto* shape : {&p.x, &p.y}) {
    (*shape)[1] /= d;
    shape->insert(shape->begin() + 2, d);
  }
  p.kernel.insert(p.kernel.begin() + 1, 1);
  if (!p.within.empty()) p.within.insert(p.within.begin() + 1, 1);
  p.stride.push_back(1);
  p.dilation = {1, 1};
  p.low = {p.low[0] / d, 0};
  p.high = {p.high[0] / d, 0};
  return p;
}

// oneDNN has more code for images than for sequences.
Choice Choose(Pass pass, const Convolution& p) {
  if (p.rank() > 1) return ChooseLayout(pass, p);
  constexpr int64_t kLongRow = 16;  // several vectors of positions
  const auto rows = AsRows(p);
  // Its search for blocks in a dilated row takes 0.1 s.
  if (rows && p.dilation[0] >= kLongRow) return ChooseLayout(pass, *rows);
  Choice row = ChooseLayout(pass, AsRow(p));
  if (Compiled(row) || !rows) return row;
  Choice column = ChooseLayout(pass, *rows);
  return Compiled(column) ? std::move(column) : std::move(row);
}

}  // namespace

Plan MakePlan(Pass pass, const Convolution& p) { return Choose(pass, p).make(); }

void CopyKernel(const Convolution& from, const void* kernel, const Convolution& to, void* copy,
                const Pool& pool) {
  Reorder(CallersLayouts(from).kernel, CallersLayouts(to).kernel).Run(kernel, copy, pool);
}

std::string OfOneDnn(Pass pass, const Convolution& p) { return Choose(pass, p).implementation; }

}  // namespace cnnlab
