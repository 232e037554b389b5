// The convolutions beside a plain loop, on arrays of exactly the right size.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "channels_first.h"
#include "driver.h"
#include "fft_convolution.h"
#include "winograd.h"

using cnnlab::Convolution;
using cnnlab::Pass;
using cnnlab::Size;

namespace {

constexpr int64_t kGuard = 64;

// <conv(x, k), dy>'s derivative in what the pass gives, term by term, for two spatial axes.
std::vector<double> Loop(Pass pass, const Convolution& p, const float* x, const float* k,
                         const float* dy) {
  const auto& shape = pass == Pass::kForward ? p.y : pass == Pass::kInputGradient ? p.x : p.kernel;
  std::vector<double> out(Size(shape), 0.0);
  const int64_t group_in = p.kernel[2], group_out = p.kernel[3] / p.groups;
  for (int64_t n = 0; n < p.y[0]; ++n)
    for (int64_t i = 0; i < p.y[1]; ++i)
      for (int64_t j = 0; j < p.y[2]; ++j)
        for (int64_t m = 0; m < p.y[3]; ++m)
          for (int64_t a = 0; a < p.kernel[0]; ++a)
            for (int64_t b = 0; b < p.kernel[1]; ++b)
              for (int64_t c = 0; c < group_in; ++c) {
                const int64_t u = i * p.stride[0] + a * p.dilation[0] - p.low[0];
                const int64_t v = j * p.stride[1] + b * p.dilation[1] - p.low[1];
                if (u < 0 || v < 0 || u >= p.x[1] || v >= p.x[2]) continue;
                const int64_t channel = m / group_out * group_in + c;
                const int64_t at_x = ((n * p.x[1] + u) * p.x[2] + v) * p.x[3] + channel;
                const int64_t at_k = ((a * p.kernel[1] + b) * group_in + c) * p.kernel[3] + m;
                const int64_t at_y = ((n * p.y[1] + i) * p.y[2] + j) * p.y[3] + m;
                if (pass == Pass::kForward) out[at_y] += double(x[at_x]) * k[at_k];
                if (pass == Pass::kInputGradient) out[at_x] += double(dy[at_y]) * k[at_k];
                if (pass == Pass::kKernelGradient) out[at_k] += double(x[at_x]) * dy[at_y];
              }
  return out;
}

enum class Way { kConvolve, kWinograd, kFft, kChannelsFirst };

// The last axis of a plane whose others are one row.
Convolution Line(Convolution p) {
  for (auto* v : {&p.x, &p.y}) v->erase(v->begin() + 1);
  for (auto* v : {&p.kernel, &p.stride, &p.dilation, &p.low, &p.high}) v->erase(v->begin());
  return p;
}

void Compute(Way way, Pass pass, const Convolution& p, const float* a, const float* b, float* out) {
  switch (way) {
    case Way::kConvolve: return Convolve(pass, p, a, b, nullptr, out);
    case Way::kWinograd:
      return WithHelpers([&](const auto& pool) {
        cnnlab::Winograd(pass, p, a, b, nullptr, out, pool);
      });
    case Way::kFft: return cnnlab::FftConvolve(pass, Line(p), a, b, out);
    case Way::kChannelsFirst:
      return WithHelpers([&](const auto& pool) {
        cnnlab::ConvolveChannelsFirst(pass, Line(p), a, b, out, pool);
      });
  }
}

// Rows (n, 1, length, c) as (n, c, 1, length).
template <typename T>
void MoveChannels(const std::vector<int64_t>& shape, std::vector<T>& v) {
  const auto last = v;
  const int64_t length = shape[2], c = shape[3];
  for (size_t i = 0; i < v.size(); ++i) {
    const int64_t at = i / c;
    v[(at / length * c + i % c) * length + at % length] = last[i];
  }
}

// A kernel (taps, c_in / g, c_out) as (c_out, c_in / g, taps).
template <typename T>
void MoveOutputs(const std::vector<int64_t>& shape, std::vector<T>& v) {
  const auto last = v;
  const int64_t taps = shape[0] * shape[1], c_in = shape[2], c_out = shape[3];
  for (size_t i = 0; i < v.size(); ++i) {
    const int64_t at = i / c_out;
    v[(i % c_out * c_in + at % c_in) * taps + at / c_in] = last[i];
  }
}

bool Right(Pass pass, const Convolution& p, Way way) {
  Lcg next;
  const auto draw = [&](const std::vector<int64_t>& shape) {
    std::vector<float> v(Size(shape));
    for (auto& n : v) n = next();
    return v;
  };
  auto x = draw(p.x), k = draw(p.kernel), dy = draw(p.y);
  auto expected = Loop(pass, p, x.data(), k.data(), dy.data());
  if (way == Way::kChannelsFirst) {
    MoveChannels(p.x, x);
    MoveChannels(p.y, dy);
    if (pass == Pass::kForward) MoveChannels(p.y, expected);
    if (pass == Pass::kInputGradient) MoveChannels(p.x, expected);
  }
  if (p.outputs_first) {
    MoveOutputs(p.kernel, k);
    if (pass == Pass::kKernelGradient) MoveOutputs(p.kernel, expected);
  }
  const auto* a = pass == Pass::kInputGradient ? dy.data() : x.data();
  const auto* b = pass == Pass::kKernelGradient ? dy.data() : k.data();

  // Exactly as large as the result: for valgrind.
  auto* exact = static_cast<float*>(std::aligned_alloc(64, (expected.size() * 4 + 63) / 64 * 64));
  Compute(way, pass, p, a, b, exact);
  std::vector<float> guarded(expected.size() + 2 * kGuard, kUntouched);
  Compute(way, pass, p, a, b, guarded.data() + kGuard);

  bool right = true;
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::fmax(largest, std::fabs(expected[i]));
    error = std::fmax(error, std::fabs(expected[i] - exact[i]));
    error = std::fmax(error, std::fabs(expected[i] - guarded[kGuard + i]));
  }
  for (int64_t i = 0; i < kGuard; ++i) {
    right &= guarded[i] == kUntouched;
    right &= guarded[guarded.size() - 1 - i] == kUntouched;
  }
  std::free(exact);
  right &= error <= 1e-5 * largest;
  if (!right) {
    std::printf("wrong: %s pass %d, error %g of %g\n", cnnlab::Implementation(pass, p).c_str(),
                static_cast<int>(pass), error, largest);
  }
  return right;
}

void CheckPasses(Tally& tally, const Convolution& p, Way way) {
  for (Pass pass : {Pass::kForward, Pass::kInputGradient, Pass::kKernelGradient}) {
    tally.Add(Right(pass, p, way));
  }
}

// With a weight and a cotangent that are infinite, and a ReLU: what is computed anew then writes
// nothing outside either (valgrind), and no NaN is lost.
bool KeepsNan(Convolution p) {
  std::vector<float> x(Size(p.x), 1.f), k(Size(p.kernel), 1.f), dy(Size(p.y), 1.f);
  k.front() = dy.front() = INFINITY;
  x.back() = NAN;
  std::vector<float> bias(p.kernel.back(), 0.f), y(Size(p.y)), dk(Size(p.kernel));
  Convolve(Pass::kKernelGradient, p, x.data(), dy.data(), nullptr, dk.data());
  p.bias = true;
  p.activation = cnnlab::Activation::kRelu;
  Convolve(Pass::kForward, p, x.data(), k.data(), bias.data(), y.data());
  const auto nan = [](float v) { return v != v; };
  const bool padded = p.low[0] > 0;
  const auto seen = std::count_if(y.begin(), y.end(), nan) > 0;
  const bool first = nan(y.front()) == padded && nan(dk.front()) == padded;
  if (!first || !seen) std::printf("lost: %s\n", cnnlab::Implementation(Pass::kForward, p).c_str());
  return first && seen;
}

// A sequence, as a plane of one row.
Convolution Sequence(int64_t n, int64_t length, int64_t c, int64_t taps, int64_t m, int64_t groups,
                     int64_t stride, int64_t low, int64_t high) {
  Convolution p = Make(n, 1, length, c, 1, taps, m, groups, 1, 1, 0, 0);
  p.stride[1] = stride;
  p.low[1] = low;
  p.high[1] = high;
  p.y[2] = (length + low + high - taps) / stride + 1;
  return p;
}

}  // namespace

void CheckConvolutions(Tally& tally) {
  const std::vector<Convolution> problems = {
      Make(2, 7, 6, 3, 3, 3, 8, 1, 1, 1, 1, 1),     // thin input
      Make(1, 5, 9, 16, 3, 2, 24, 1, 1, 1, 1, 0),   // an even kernel
      Make(2, 9, 8, 5, 3, 3, 7, 1, 2, 1, 1, 1),     // odd channels, stride
      Make(1, 9, 9, 8, 3, 3, 8, 1, 1, 2, 2, 2),     // dilation
      Make(2, 6, 6, 16, 1, 1, 11, 1, 1, 1, 0, 0),   // 1x1
      Make(3, 7, 7, 5, 1, 1, 9, 1, 2, 1, 0, 0),     // 1x1, stride
      Make(2, 6, 7, 13, 3, 3, 13, 13, 1, 1, 1, 1),  // depthwise
      Make(1, 8, 8, 8, 7, 7, 8, 8, 2, 1, 3, 3),     // depthwise, stride
      Make(2, 5, 5, 12, 3, 3, 18, 3, 1, 1, 2, 0),   // groups, uneven padding
      Make(4, 8, 8, 16, 3, 3, 16, 1, 1, 1, 1, 1),   // by several threads
      Make(2, 9, 7, 16, 7, 7, 16, 16, 1, 1, 3, 4),  // depthwise in loops of our own
      Make(1, 4, 19, 24, 5, 8, 24, 24, 1, 2, 9, 1),   // the same, dilated
      Make(8, 12, 12, 32, 7, 7, 32, 32, 1, 1, 3, 3),  // the same by several threads
      Make(1, 3, 2, 70, 3, 3, 43, 1, 1, 1, 1, 1),     // few positions, panels that are not full
      Make(2, 4, 3, 5, 2, 3, 64, 1, 2, 2, 1, 3),      // the same, stride and dilation
      Make(1, 7, 9, 600, 1, 1, 96, 1, 1, 1, 0, 0),    // the same, many terms, by several threads
  };
  for (const auto& problem : problems) {
    CheckPasses(tally, problem, Way::kConvolve);
    Convolution turned = problem;
    turned.outputs_first = true;
    CheckPasses(tally, turned, Way::kConvolve);
    tally.Add(KeepsNan(problem));
  }
  const std::vector<Convolution> minimal = {
      Make(2, 7, 6, 8, 3, 3, 16, 1, 1, 1, 1, 1),  // tiles that do not fit
      Make(1, 3, 9, 16, 3, 3, 8, 1, 1, 1, 0, 0),  // no padding
      Make(1, 5, 4, 8, 3, 3, 8, 1, 1, 1, 4, 3),   // more padding than kernel
      Make(4, 8, 8, 16, 3, 3, 16, 1, 1, 1, 1, 1),  // by several threads, in the widest vectors
  };
  for (const auto& problem : minimal) CheckPasses(tally, problem, Way::kWinograd);
  const std::vector<Convolution> sequences = {
      Sequence(3, 45, 13, 17, 13, 13, 1, 5, 9),     // a vector that is not full, an odd batch
      Sequence(2, 90, 3, 40, 6, 3, 2, 70, 31),      // two filters a channel, stride
      Sequence(1, 150, 8, 140, 8, 8, 1, 139, 0),    // causal, in blocks of blocks
      Sequence(3, 150, 18, 20, 18, 18, 3, 25, -1),  // causal, cropped, stride
      Sequence(2, 31, 4, 9, 2, 2, 1, 8, 0),         // groups
      Sequence(2, 90, 12, 40, 20, 1, 2, 70, 31),    // dense, vectors that are not full, stride
      Sequence(2, 150, 9, 60, 12, 3, 1, 59, 0),     // the same in groups, causal
  };
  for (const auto& problem : sequences) CheckPasses(tally, problem, Way::kFft);
  const std::vector<Convolution> lines = {
      Sequence(2, 150, 13, 3, 21, 1, 1, 4, 1),  // panels that are not full, an uneven padding
      Sequence(3, 67, 8, 1, 5, 1, 1, 0, 0),     // points
      Sequence(1, 5, 1, 4, 7, 1, 1, 9, 2),      // windows in the padding alone
      Sequence(3, 150, 8, 5, 16, 1, 1, 4, 0),   // by several threads
  };
  for (const auto& problem : lines) CheckPasses(tally, problem, Way::kChannelsFirst);
}
