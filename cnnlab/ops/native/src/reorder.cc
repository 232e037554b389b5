#include "reorder.h"

#include <omp.h>

#include <algorithm>

namespace cnnlab {
namespace {

using dnnl::memory;

// The axis along which an array's parts lie one behind the other, and by how many of its numbers it
// may be cut.
struct Cut {
  int axis = 0;
  int64_t block = 1, size = 1;

  explicit Cut(const memory::desc& md) {
    if (md.get_format_kind() != memory::format_kind::blocked) return;
    const auto strides = md.get_strides(), shape = md.get_dims();
    for (size_t i = 1; i < shape.size(); ++i) {
      if (shape[i] > 1 && (shape[axis] == 1 || strides[i] > strides[axis])) {
        axis = static_cast<int>(i);
      }
    }
    size = shape[axis];
    const auto blocks = md.get_inner_blks(), of = md.get_inner_idxs();
    for (size_t i = 0; i < blocks.size(); ++i) {
      if (of[i] == axis) block *= blocks[i];
    }
  }
};

}  // namespace

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

OneThread::OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
OneThread::~OneThread() { omp_set_num_threads(before_); }

Reorder::Reorder(const memory::desc& from, const memory::desc& to) {
  constexpr int64_t kLittle = 1 << 17, kMostShares = 8;  // bytes
  const OneThread one;
  const Cut of_from(from), of_to(to);
  // Along the axis of the layout with blocks, which may be cut between them alone.
  const Cut& cut = of_to.block >= of_from.block ? of_to : of_from;
  const auto bytes = static_cast<int64_t>(from.get_size());
  const int64_t blocks = (cut.size + cut.block - 1) / cut.block;
  const int64_t count = std::clamp<int64_t>(bytes / kLittle, 1, std::min(kMostShares, blocks));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = blocks * i / count * cut.block;
    const int64_t end = std::min(blocks * (i + 1) / count * cut.block, cut.size);
    const auto some = [&](const memory::desc& md) {
      auto shape = md.get_dims();
      memory::dims first(shape.size(), 0);
      shape[cut.axis] = end - begin;
      first[cut.axis] = begin;
      return count == 1 ? md : md.submemory_desc(shape, first);
    };
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto a = some(from), b = some(to);
    shares_.push_back({a, b, dnnl::reorder({Engine(), a, Engine(), b, attr})});
  }
}

void Reorder::Run(const void* from, void* to, const Pool& pool) const {
  pool.ForEach(shares_.size(), [&](int, int64_t i) {
    const OneThread one;
    const Share& share = shares_[i];
    dnnl::stream stream(Engine());
    memory a(share.from, Engine(), const_cast<void*>(from)), b(share.to, Engine(), to);
    dnnl::reorder(share.run).execute(stream, a, b);
    stream.wait();
  });
}

}  // namespace cnnlab
