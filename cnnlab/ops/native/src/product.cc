#include "product.h"

#include <omp.h>

#include <string>

#include "cache.h"
#include "plan.h"

namespace cnnlab {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr auto kFloat = memory::data_type::f32;

float* Mutable(const float* data) { return const_cast<float*>(data); }

}  // namespace

Product::Product(const Size& s)
    : a_({s.m, s.k}, kFloat, Tag::ab), b_({s.k, s.n}, kFloat, Tag::ab), c_({s.m, s.n}, kFloat, Tag::ab) {
  const memory::desc any({s.k, s.n}, kFloat, Tag::any);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  // Made for one thread: those of a team each run their own.
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const dnnl::matmul::primitive_desc pd(Engine(), a_, any, c_, attr);
  matmul_ = dnnl::matmul(pd);
  omp_set_num_threads(before);
  packed_ = pd.weights_desc();
  work_ = pd.scratchpad_desc();
}

std::shared_ptr<const Product> Product::Get(const Size& size) {
  static auto* cache = new LruCache<Product>;
  std::string key;
  for (int64_t n : {size.m, size.k, size.n}) key += std::to_string(n) + ' ';
  return cache->Get(key, [&] { return Product(size); });
}

const float* Product::Pack(const float* b, float* into) const {
  if (packed_ == b_) return b;
  dnnl::stream stream(Engine());
  memory from(b_, Engine(), Mutable(b)), to(packed_, Engine(), into);
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
  return into;
}

void Product::Run(const float* a, const float* b, float* c, float* work) const {
  dnnl::stream stream(Engine());
  matmul_.execute(stream, {{DNNL_ARG_SRC, {a_, Engine(), Mutable(a)}},
                           {DNNL_ARG_WEIGHTS, {packed_, Engine(), Mutable(b)}},
                           {DNNL_ARG_DST, {c_, Engine(), c}},
                           {DNNL_ARG_SCRATCHPAD, {work_, Engine(), work}}});
  stream.wait();
}

}  // namespace cnnlab
