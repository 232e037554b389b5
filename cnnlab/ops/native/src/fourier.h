// Discrete Fourier transforms of complex sequences that lie side by side, one a lane of a vector.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lanes.h"

namespace cnnlab {

// An entry: a vector of real parts, then one of imaginary parts.
constexpr int64_t kEntry = 2 * kWidest;

struct Complex {
  using L = Lanes<kWidest>;
  using Vec = L::Vec;

  Vec re, im;

  static Complex Load(const float* p) { return {L::Load(p), L::Load(p + kWidest)}; }
  void Store(float* p) const {
    L::Store(p, re);
    L::Store(p + kWidest, im);
  }
};

// Transforms of `n` entries, n of the factors 2, 3 and 5. Forward by decimation in frequency, back
// by decimation in time (Van Loan, Computational Frameworks for the Fast Fourier Transform, 1992):
// frequencies are in the order that this leaves them in, so that nothing is reordered. Each pass
// leaves parts that lie together, which are transformed one after another: small ones in the cache.
class Fourier {
 public:
  explicit Fourier(int64_t n);

  // Kept for the next call, as its factors take long to compute.
  static std::shared_ptr<const Fourier> Get(int64_t n);

  int64_t size() const { return n_; }
  void Forward(float* z) const { Down(z, 0); }
  void Back(float* z) const { Up(z, 0); }  // times n

  // exp(-pi i k / n), as pairs (cos, -sin): what the odd frequencies of 2 n entries see of the k-th.
  const float* twist() const { return twist_.data(); }
  void Twist(float* z) const;  // all entries

 private:
  struct Step {
    int radix;
    int64_t n;                   // entries that it takes apart
    std::vector<float> factors;  // exp(-2 pi i r k / n) for each k < n / radix: r = 1 .. radix - 1
  };

  void Down(float* z, size_t step) const;
  void Up(float* z, size_t step) const;

  int64_t n_;
  std::vector<Step> steps_;
  std::vector<float> twist_;
};

// Whether it has no other factors than 2, 3 and 5, and 3 and 5 at most twice.
bool Smooth(int64_t n);

}  // namespace cnnlab
