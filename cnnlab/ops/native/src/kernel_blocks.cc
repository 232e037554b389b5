#include "kernel_blocks.h"

#include <algorithm>

#include "lanes.h"

namespace cnnlab {

std::optional<KernelBlocks> KernelBlocks::For(const Convolution& p,
                                              const dnnl::memory::desc& inner) {
  const int output = p.groups > 1;  // the axis, after that of the groups
  if (inner.get_format_kind() != dnnl::memory::format_kind::blocked ||
      inner.get_data_type() != dnnl::memory::data_type::f32 || inner.get_inner_nblks() != 1 ||
      inner.get_inner_idxs()[0] != output) {
    return std::nullopt;
  }
  const auto strides = inner.get_strides(), shape = inner.get_dims();
  const auto padded = inner.get_padded_dims();
  KernelBlocks k;
  k.groups_ = p.groups;
  k.out_ = shape[output];
  k.in_ = shape[output + 1];
  k.taps_ = Size(p.kernel) / (p.kernel.back() * k.in_);
  k.block_ = inner.get_inner_blks()[0];
  k.of_group_ = output ? strides[0] : 0;
  k.of_block_ = strides[output];
  k.of_in_ = strides[output + 1];
  k.of_tap_ = strides.back();
  // The taps as one axis, and no padding but behind the last block.
  const size_t spatial = output + 2;
  for (size_t i = spatial; i + 1 < shape.size(); ++i) {
    if (strides[i] != strides[i + 1] * shape[i + 1]) return std::nullopt;
  }
  for (size_t i = 0; i < shape.size(); ++i) {
    if (static_cast<int>(i) != output && padded[i] != shape[i]) return std::nullopt;
  }
  const auto floats = static_cast<int64_t>(inner.get_size() / sizeof(float));
  if (k.block_ % 8 != 0 || floats != Size(padded)) return std::nullopt;
  return k;
}

void KernelBlocks::Copy(const float* kernel, float* to) const {
  using L = Lanes<8>;
  const int64_t blocks = (out_ + block_ - 1) / block_, row = groups_ * out_;
#pragma omp parallel for collapse(3) schedule(static)
  for (int64_t group = 0; group < groups_; ++group) {
    for (int64_t tap = 0; tap < taps_; ++tap) {
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = block * block_, count = std::min(block_, out_ - first);
        const float* from = kernel + tap * in_ * row + group * out_ + first;
        float* at = to + group * of_group_ + tap * of_tap_ + block * of_block_;
        for (int64_t i = 0; i < in_; ++i, from += row, at += of_in_) {
          int64_t o = 0;
          for (; o + 8 <= count; o += 8) L::Store(at + o, L::Load(from + o));
          for (; o < count; ++o) at[o] = from[o];
          for (; o < block_; ++o) at[o] = 0.f;
        }
      }
    }
  }
}

}  // namespace cnnlab
