#include "fourier.h"

#include <cmath>
#include <string>

#include "cache.h"

namespace cnnlab {
namespace {

constexpr int64_t kInCache = 256;  // entries: what is no longer is transformed pass by pass
constexpr double kPi = 3.14159265358979323846;

// exp(-2 pi i angle)
void Append(double angle, std::vector<float>* factors) {
  factors->push_back(static_cast<float>(std::cos(2 * kPi * angle)));
  factors->push_back(static_cast<float>(-std::sin(2 * kPi * angle)));
}

}  // namespace

Fourier::Fourier(int64_t n) : n_(n) {
  while (n > 1) {
    const int radix = n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : n % 3 == 0 ? 3 : 5;
    const int64_t part = n / radix;
    Step step{radix, n, {}};
    const auto size = static_cast<double>(n);
    for (int64_t k = 0; k < part; ++k) {
      for (int r = 1; r < radix; ++r) Append(static_cast<double>(r * k) / size, &step.factors);
      if (n < n_) continue;
      for (int r = 0; r < radix; ++r) Append(static_cast<double>((2 * r + 1) * k) / 2 / size, &odd_);
    }
    steps_.push_back(std::move(step));
    n = part;
  }
  FindMirrors(0, 0);
  // The k-th of odd frequencies is 2 k + 1. Where k lies in digits of it, n - 1 - k has the others.
  for (int64_t k = 0; k <= n_ - 1 - k; ++k) {
    mirrors_[1].push_back({static_cast<int32_t>(k), static_cast<int32_t>(n_ - 1 - k)});
  }
}

// Of a step's part r are the frequencies r + radix j: their negatives are in part radix - r, at
// n / radix - 1 - j. Those of part 0 are in part 0, as of a transform of its entries alone.
void Fourier::FindMirrors(int64_t begin, size_t step) {
  const auto add = [this](int64_t at, int64_t other) {
    mirrors_[0].push_back({static_cast<int32_t>(at), static_cast<int32_t>(other)});
  };
  if (step == steps_.size()) return add(begin, begin);
  FindMirrors(begin, step + 1);
  const int64_t radix = steps_[step].radix, part = steps_[step].n / radix;
  for (int64_t r = 1; r <= radix - r; ++r) {
    const int64_t at = begin + r * part, last = begin + (radix - r + 1) * part - 1;
    for (int64_t j = 0; j < part && at + j <= last - j; ++j) add(at + j, last - j);
  }
}

std::shared_ptr<const Fourier> Fourier::Get(int64_t n) {
  static auto* cache = new LruCache<Fourier>;
  return cache->Get(std::to_string(n), [n] { return Fourier(n); });
}

template <bool kBack>
void Fourier::Pass(const Step& step, float* z, int64_t blocks) {
  OfRadix(step.radix, [&](auto radix) {
    constexpr int kRadix = radix();
    const int64_t part = step.n / kRadix;
    for (int64_t block = 0; block < blocks; ++block, z += step.n * kEntry) {
      const float* w = step.factors.data();
      for (int64_t k = 0; k < part; ++k, w += 2 * (kRadix - 1)) {
        float* at = z + k * kEntry;
        Complex v[kRadix];
#pragma GCC unroll 5
        for (int r = 0; r < kRadix; ++r) v[r] = Complex::Load(at + r * part * kEntry);
        if (kBack && part > 1) {
#pragma GCC unroll 5
          for (int r = 1; r < kRadix; ++r) v[r] = Turn<true>(v[r], w[2 * r - 2], w[2 * r - 1]);
        }
        Small<kBack>(v);
        if (!kBack && part > 1) {
#pragma GCC unroll 5
          for (int r = 1; r < kRadix; ++r) v[r] = Turn<false>(v[r], w[2 * r - 2], w[2 * r - 1]);
        }
#pragma GCC unroll 5
        for (int r = 0; r < kRadix; ++r) v[r].Store(at + r * part * kEntry);
      }
    }
  });
}

void Fourier::Down(float* z, int64_t n, size_t first) const {
  if (n <= kInCache) {
    for (size_t i = first; i < steps_.size(); ++i) Pass<false>(steps_[i], z, n / steps_[i].n);
    return;
  }
  const Step& s = steps_[first];
  const bool alone = s.n > kInCache;
  for (; n > 0; n -= s.n, z += s.n * kEntry) {
    if (alone) Pass<false>(s, z, 1);
    Down(z, s.n, first + alone);
  }
}

void Fourier::Up(float* z, int64_t n, size_t first) const {
  if (n <= kInCache) {
    for (size_t i = steps_.size(); i > first; --i) Pass<true>(steps_[i - 1], z, n / steps_[i - 1].n);
    return;
  }
  const Step& s = steps_[first];
  const bool alone = s.n > kInCache;
  for (; n > 0; n -= s.n, z += s.n * kEntry) {
    Up(z, s.n, first + alone);
    if (alone) Pass<true>(s, z, 1);
  }
}

bool Smooth(int64_t n) {
  if (n < 1) return false;
  for (const int p : {3, 5}) {
    for (int i = 0; i < 2 && n % p == 0; ++i) n /= p;
  }
  return (n & (n - 1)) == 0;
}

}  // namespace cnnlab
