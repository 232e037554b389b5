#include "kernel_blocks.h"

#include <algorithm>

#include "transpose.h"

namespace cnnlab {

std::optional<KernelBlocks> KernelBlocks::For(const Convolution& p,
                                              const dnnl::memory::desc& inner) {
  const int output = p.groups > 1;  // the axis, after that of the groups
  if (p.outputs_first || inner.get_format_kind() != dnnl::memory::format_kind::blocked ||
      inner.get_data_type() != dnnl::memory::data_type::f32 || inner.get_inner_nblks() != 1) {
    return std::nullopt;
  }
  const int blocked = static_cast<int>(inner.get_inner_idxs()[0]);
  if (blocked != output && blocked != output + 1) return std::nullopt;
  const auto strides = inner.get_strides(), shape = inner.get_dims();
  const auto padded = inner.get_padded_dims();
  KernelBlocks k;
  k.of_inputs_ = blocked != output;
  k.groups_ = p.groups;
  k.out_ = shape[output];
  k.in_ = shape[output + 1];
  k.row_ = p.lies_in().back();
  k.of_outer_tap_ = *(p.lies_in().end() - 2) * k.row_;
  k.taps_ = Size(p.kernel) / (p.kernel.back() * k.in_);
  k.block_ = inner.get_inner_blks()[0];
  k.of_group_ = output ? strides[0] : 0;
  k.of_block_ = strides[blocked];
  k.of_row_ = strides[k.of_inputs_ ? output : output + 1];
  k.of_tap_ = strides.back();
  // The taps as one axis, and no padding but behind the last block.
  const size_t spatial = output + 2;
  for (size_t i = spatial; i + 1 < shape.size(); ++i) {
    if (strides[i] != strides[i + 1] * shape[i + 1]) return std::nullopt;
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    if (static_cast<int>(i) != blocked && padded[i] != shape[i]) return std::nullopt;
  }
  const auto floats = static_cast<int64_t>(inner.get_size() / sizeof(float));
  if (k.block_ % 8 != 0 || floats != Size(padded)) return std::nullopt;
  return k;
}

void KernelBlocks::Copy(const float* kernel, float* to, const Pool& pool) const {
  const int64_t channels = of_inputs_ ? in_ : out_, blocks = (channels + block_ - 1) / block_;
  const int64_t tasks = groups_ * taps_ * blocks;
  const int64_t of_task = in_ * out_ * block_ / channels;
  const int64_t some = std::max<int64_t>(1, (1 << 15) / of_task);  // that a thread takes at once
  pool.ForEach((tasks + some - 1) / some, [&](int, int64_t part) {
    for (int64_t task = part * some; task < std::min(tasks, (part + 1) * some); ++task) {
      const int64_t block = task % blocks, tap = task / blocks % taps_;
      const int64_t group = task / blocks / taps_;
      const int64_t first = block * block_, count = std::min(block_, channels - first);
      const float* from = kernel + tap * of_outer_tap_ + group * out_;
      float* at = to + group * of_group_ + tap * of_tap_ + block * of_block_;
      of_inputs_ ? CopyInputs(from + first * row_, count, at)
                 : CopyOutputs(from + first, count, at);
    }
  });
}

// `count` outputs of all inputs.
void KernelBlocks::CopyOutputs(const float* from, int64_t count, float* to) const {
  using L = Lanes<8>;
  for (int64_t i = 0; i < in_; ++i, from += row_, to += of_row_) {
    int64_t o = 0;
    for (; o + 8 <= count; o += 8) L::Store(to + o, L::Load(from + o));
    for (; o < count; ++o) to[o] = from[o];
    for (; o < block_; ++o) to[o] = 0.f;
  }
}

// `count` inputs of all outputs.
void KernelBlocks::CopyInputs(const float* from, int64_t count, float* to) const {
  CopyTurned(from, count, row_, out_, to, of_row_);
  for (int64_t o = 0; o < out_; ++o) std::fill(to + o * of_row_ + count, to + o * of_row_ + block_, 0.f);
}

}  // namespace cnnlab
