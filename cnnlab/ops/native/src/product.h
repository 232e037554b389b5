// Products of a matrix with many others by oneDNN, on the calling thread alone.
#pragma once

#include <memory>

#include "dnnl.hpp"

namespace cnnlab {

// c = a b for matrices a (m, k) and b (k, n); b is packed once (`Pack`) and used many times.
class Product {
 public:
  struct Size {
    int64_t m, k, n;
  };

  // Made once for a size, then shared; safe to run from several threads at once.
  static std::shared_ptr<const Product> Get(const Size& size);

  explicit Product(const Size& size);

  size_t packed_bytes() const { return packed_.get_size(); }
  size_t work_bytes() const { return work_.get_size(); }

  // b in the layout that `Run` wants: `into`, or b itself where it has that layout.
  const float* Pack(const float* b, float* into) const;
  // `work` is `work_bytes()` long.
  void Run(const float* a, const float* b, float* c, float* work) const;

 private:
  dnnl::memory::desc a_, b_, packed_, c_, work_;
  dnnl::matmul matmul_;
};

}  // namespace cnnlab
