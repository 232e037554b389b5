#include "fourier.h"

#include <cmath>
#include <string>

#include "cache.h"

namespace cnnlab {
namespace {

using Vec = Complex::Vec;

constexpr int64_t kInCache = 256;  // entries: what is no longer is transformed pass by pass
constexpr double kPi = 3.14159265358979323846;

inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(float s, Complex a) { return {s * a.re, s * a.im}; }

// a times w, or times its conjugate.
template <bool kConjugate>
inline Complex Turn(Complex a, const float* w) {
  const float c = w[0], s = kConjugate ? -w[1] : w[1];
  return {a.re * c - a.im * s, a.im * c + a.re * s};
}

// a times -i forward, i back.
template <bool kBack>
inline Complex Quarter(Complex a) {
  return kBack ? Complex{-a.im, a.re} : Complex{a.im, -a.re};
}

// The transform of `radix` entries, in place.
template <bool kBack>
inline void Small(Complex (&v)[2]) {
  const Complex a = v[0];
  v[0] = a + v[1];
  v[1] = a - v[1];
}

template <bool kBack>
inline void Small(Complex (&v)[3]) {
  constexpr float kSin = 0.866025403784438647f;
  const Complex sum = v[1] + v[2], turned = kSin * Quarter<kBack>(v[1] - v[2]);
  const Complex rest = v[0] - 0.5f * sum;
  v[0] = v[0] + sum;
  v[1] = rest + turned;
  v[2] = rest - turned;
}

template <bool kBack>
inline void Small(Complex (&v)[4]) {
  const Complex a = v[0] + v[2], b = v[0] - v[2], c = v[1] + v[3];
  const Complex d = Quarter<kBack>(v[1] - v[3]);
  v[0] = a + c;
  v[1] = b + d;
  v[2] = a - c;
  v[3] = b - d;
}

template <bool kBack>
inline void Small(Complex (&v)[5]) {
  constexpr float c1 = 0.309016994374947424f, c2 = -0.809016994374947424f;
  constexpr float s1 = 0.951056516295153572f, s2 = 0.587785252292473129f;
  const Complex a = v[1] + v[4], b = v[2] + v[3];
  const Complex p = Quarter<kBack>(v[1] - v[4]), q = Quarter<kBack>(v[2] - v[3]);
  const Complex one = v[0] + c1 * a + c2 * b, two = v[0] + c2 * a + c1 * b;
  const Complex first = s1 * p + s2 * q, second = s2 * p - s1 * q;
  v[0] = v[0] + a + b;
  v[1] = one + first;
  v[2] = two + second;
  v[3] = two - second;
  v[4] = one - first;
}

// One pass over `blocks` parts of `kRadix` times `part` entries.
template <int kRadix, bool kBack>
void Pass(float* z, int64_t blocks, int64_t part, const float* factors) {
  for (int64_t block = 0; block < blocks; ++block, z += kRadix * part * kEntry) {
    const float* w = factors;
    for (int64_t k = 0; k < part; ++k, w += 2 * (kRadix - 1)) {
      float* at = z + k * kEntry;
      Complex v[kRadix];
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) v[r] = Complex::Load(at + r * part * kEntry);
      if (kBack && part > 1) {
#pragma GCC unroll 5
        for (int r = 1; r < kRadix; ++r) v[r] = Turn<true>(v[r], w + 2 * (r - 1));
      }
      Small<kBack>(v);
      if (!kBack && part > 1) {
#pragma GCC unroll 5
        for (int r = 1; r < kRadix; ++r) v[r] = Turn<false>(v[r], w + 2 * (r - 1));
      }
#pragma GCC unroll 5
      for (int r = 0; r < kRadix; ++r) v[r].Store(at + r * part * kEntry);
    }
  }
}

template <bool kBack>
void Pass(int radix, float* z, int64_t blocks, int64_t part, const float* factors) {
  switch (radix) {
    case 2: return Pass<2, kBack>(z, blocks, part, factors);
    case 3: return Pass<3, kBack>(z, blocks, part, factors);
    case 4: return Pass<4, kBack>(z, blocks, part, factors);
    default: return Pass<5, kBack>(z, blocks, part, factors);
  }
}

}  // namespace

Fourier::Fourier(int64_t n) : n_(n), twist_(2 * n) {
  for (int64_t k = 0; k < n; ++k) {
    twist_[2 * k] = static_cast<float>(std::cos(kPi * k / n));
    twist_[2 * k + 1] = static_cast<float>(-std::sin(kPi * k / n));
  }
  while (n > 1) {
    const int radix = n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : n % 3 == 0 ? 3 : 5;
    const int64_t part = n / radix;
    Step step{radix, n, {}};
    if (part > 1) step.factors.reserve(2 * part * (radix - 1));
    for (int64_t k = 0; part > 1 && k < part; ++k) {
      for (int r = 1; r < radix; ++r) {
        const double angle = 2 * kPi * static_cast<double>(r * k) / static_cast<double>(n);
        step.factors.push_back(static_cast<float>(std::cos(angle)));
        step.factors.push_back(static_cast<float>(-std::sin(angle)));
      }
    }
    steps_.push_back(std::move(step));
    n = part;
  }
}

std::shared_ptr<const Fourier> Fourier::Get(int64_t n) {
  static auto* cache = new LruCache<Fourier>;
  return cache->Get(std::to_string(n), [n] { return Fourier(n); });
}

void Fourier::Twist(float* z) const {
  for (int64_t k = 0; k < n_; ++k, z += kEntry) {
    Turn<false>(Complex::Load(z), &twist_[2 * k]).Store(z);
  }
}

void Fourier::Down(float* z, size_t first) const {
  if (first == steps_.size()) return;
  const int64_t n = steps_[first].n;
  if (n <= kInCache) {
    for (size_t i = first; i < steps_.size(); ++i) {
      const Step& s = steps_[i];
      Pass<false>(s.radix, z, n / s.n, s.n / s.radix, s.factors.data());
    }
    return;
  }
  const Step& s = steps_[first];
  Pass<false>(s.radix, z, 1, n / s.radix, s.factors.data());
  for (int r = 0; r < s.radix; ++r) Down(z + r * (n / s.radix) * kEntry, first + 1);
}

void Fourier::Up(float* z, size_t first) const {
  if (first == steps_.size()) return;
  const int64_t n = steps_[first].n;
  if (n <= kInCache) {
    for (size_t i = steps_.size(); i > first; --i) {
      const Step& s = steps_[i - 1];
      Pass<true>(s.radix, z, n / s.n, s.n / s.radix, s.factors.data());
    }
    return;
  }
  const Step& s = steps_[first];
  for (int r = 0; r < s.radix; ++r) Up(z + r * (n / s.radix) * kEntry, first + 1);
  Pass<true>(s.radix, z, 1, n / s.radix, s.factors.data());
}

bool Smooth(int64_t n) {
  if (n < 1) return false;
  for (const int p : {3, 5}) {
    for (int i = 0; i < 2 && n % p == 0; ++i) n /= p;
  }
  return (n & (n - 1)) == 0;
}

}  // namespace cnnlab
