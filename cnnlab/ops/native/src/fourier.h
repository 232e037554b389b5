// Discrete Fourier transforms of complex sequences that lie side by side, one a lane of a vector.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fourier_steps.h"

namespace cnnlab {

// Transforms of 2 n entries of which the second n are zero, or the first n results not wanted; n of
// the factors 2, 3 and 5. Even frequencies are the transform of n entries, odd ones the same of the
// entries times exp(-pi i k / n): what a first step of 2 n entries leaves. That step is one with the
// first of n entries, the last back likewise.
//
// Forward by decimation in frequency, back by decimation in time (Van Loan, Computational Frameworks
// for the Fast Fourier Transform, 1992): frequencies are in the order that this leaves them in, so
// that nothing is reordered. Each pass leaves parts that lie together, which are transformed one
// after another: small ones in the cache.
class Fourier {
 public:
  explicit Fourier(int64_t n);  // n > 1

  // Kept for the next call, as its factors take long to compute.
  static std::shared_ptr<const Fourier> Get(int64_t n);

  int64_t size() const { return n_; }

  // Of the entries `source(k, parity)`, which for a transform of 2 n entries a and then b are a + b
  // and a - b. The parity is a constant of the program.
  template <typename Source>
  void Forward(const Source& source, float* even, float* odd) const;

  // 2 n times the first n results are even + odd of `sink(k, even, odd)`, the second even - odd.
  template <typename Sink>
  void Back(float* even, float* odd, const Sink& sink) const;

  // Where a frequency lies and where its negative: every two once.
  struct Mirror {
    int32_t at, other;
  };
  const std::vector<Mirror>& mirrors(int parity) const { return mirrors_[parity]; }

 private:
  struct Step {
    int radix;
    int64_t n;                   // entries that it takes apart
    std::vector<float> factors;  // exp(-2 pi i r k / n) for each k < n / radix: r = 1 .. radix - 1
  };
  template <int kRadix>
  using Radix = std::integral_constant<int, kRadix>;

  template <typename Run>
  static void OfRadix(int radix, const Run& run) {
    switch (radix) {
      case 2: return run(Radix<2>());
      case 3: return run(Radix<3>());
      case 4: return run(Radix<4>());
      default: return run(Radix<5>());
    }
  }

  // One pass over `blocks` parts of a step's n entries.
  template <bool kBack>
  static void Pass(const Step& step, float* z, int64_t blocks);
  // The steps from number `first` on, of parts of n entries in all.
  void Down(float* z, int64_t n, size_t first) const;
  void Up(float* z, int64_t n, size_t first) const;
  void FindMirrors(int64_t begin, size_t step);

  int64_t n_;
  std::vector<Step> steps_;
  std::vector<float> odd_;  // the first step's factors times exp(-pi i k / n), r = 0 .. radix - 1
  std::vector<Mirror> mirrors_[2];
};

template <typename Source>
void Fourier::Forward(const Source& source, float* even, float* odd) const {
  const int64_t part = n_ / steps_[0].radix;
  OfRadix(steps_[0].radix, [&](auto radix) {
    constexpr int kRadix = radix();
    const float *w = steps_[0].factors.data(), *u = odd_.data();
    for (int64_t k = 0; k < part; ++k, w += 2 * (kRadix - 1), u += 2 * kRadix) {
      Complex v[kRadix];
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) v[r] = source(k + r * part, Radix<0>());
      Small<false>(v);
      v[0].Store(even + k * kEntry);
#pragma GCC unroll 5
      for (int r = 1; r < kRadix; ++r) {
        Turn<false>(v[r], w[2 * r - 2], w[2 * r - 1]).Store(even + (k + r * part) * kEntry);
      }
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) v[r] = source(k + r * part, Radix<1>());
      Advance<false>(v);
      Small<false>(v);
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) {
        Turn<false>(v[r], u[2 * r], u[2 * r + 1]).Store(odd + (k + r * part) * kEntry);
      }
    }
  });
  Down(even, n_, 1);
  Down(odd, n_, 1);
}

template <typename Sink>
void Fourier::Back(float* even, float* odd, const Sink& sink) const {
  Up(even, n_, 1);
  Up(odd, n_, 1);
  const int64_t part = n_ / steps_[0].radix;
  OfRadix(steps_[0].radix, [&](auto radix) {
    constexpr int kRadix = radix();
    const float *w = steps_[0].factors.data(), *u = odd_.data();
    for (int64_t k = 0; k < part; ++k, w += 2 * (kRadix - 1), u += 2 * kRadix) {
      Complex a[kRadix], b[kRadix];
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) {
        const Complex v = Complex::Load(odd + (k + r * part) * kEntry);
        b[r] = Turn<true>(v, u[2 * r], u[2 * r + 1]);
      }
      Small<true>(b);
      Advance<true>(b);
      a[0] = Complex::Load(even + k * kEntry);
#pragma GCC unroll 5
      for (int r = 1; r < kRadix; ++r) {
        const Complex v = Complex::Load(even + (k + r * part) * kEntry);
        a[r] = Turn<true>(v, w[2 * r - 2], w[2 * r - 1]);
      }
      Small<true>(a);
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) sink(k + r * part, a[r], b[r]);
    }
  });
}

// Whether it has no other factors than 2, 3 and 5, and 3 and 5 at most twice.
bool Smooth(int64_t n);

}  // namespace cnnlab
