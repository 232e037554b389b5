// What the parts of the driver share: numbers, problems, and the count of what is wrong.
#pragma once

#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "convolution.h"
#include "pool.h"

struct Tally {
  int wrong = 0, run = 0;
  void Add(bool right) {
    wrong += !right;
    ++run;
  }
};

void CheckConvolutions(Tally& tally);
void CheckReductions(Tally& tally);
void CheckThreads(Tally& tally);
int Bounded();  // 0 where what is kept of many calls is bounded

// Numbers from -1 to 1, the same each time.
struct Lcg {
  uint64_t state = 1;
  float operator()() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int64_t>(state >> 33) % 1000 - 500) / 500.f;
  }
};

// What lies around a result, to be found there afterwards.
constexpr float kUntouched = 1234.5f;

// A convolution of planes, the same along both axes.
inline cnnlab::Convolution Make(int64_t n, int64_t h, int64_t w, int64_t c, int64_t kh, int64_t kw,
                                int64_t m, int64_t groups, int64_t stride, int64_t dilation,
                                int64_t low, int64_t high) {
  cnnlab::Convolution p;
  const auto out = [&](int64_t size, int64_t k) {
    return (size + low + high - (k - 1) * dilation - 1) / stride + 1;
  };
  p.x = {n, h, w, c};
  p.kernel = {kh, kw, c / groups, m};
  p.y = {n, out(h, kh), out(w, kw), m};
  p.stride = {stride, stride};
  p.dilation = {dilation, dilation};
  p.low = {low, low};
  p.high = {high, high};
  p.groups = groups;
  return p;
}

// `work(pool)` with two helpers.
template <typename Work>
void WithHelpers(const Work& work) {
  std::vector<std::thread> helpers;
  work(cnnlab::Pool(3, [&helpers](auto help) { helpers.emplace_back(std::move(help)); }));
  for (auto& helper : helpers) helper.join();
}

inline void Convolve(cnnlab::Pass pass, const cnnlab::Convolution& p, const float* a,
                     const float* b, const float* bias, float* out) {
  WithHelpers([&](const auto& pool) { cnnlab::Convolve(pass, p, a, b, bias, out, pool); });
}
