#include "special.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bfloat16.h"

namespace cnnlab {
namespace {

using dnnl::memory;

// `run` of the data as what they are.
template <typename Call>
auto OfType(memory::data_type dtype, Call run) {
  return dtype == memory::data_type::f32 ? run(float{}) : run(Bfloat16{});
}

uint32_t Magnitude(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  return bits & 0x7fffffff;
}

// Numbers that a thread takes at once.
constexpr int64_t kShare = 1 << 16;

// The largest magnitude; infinity where an entry is infinite or NaN.
float Largest(const void* data, int64_t size, memory::data_type dtype, const Pool& pool) {
  return OfType(dtype, [&](auto number) {
    const auto* v = static_cast<const decltype(number)*>(data);
    const int64_t shares = (size + kShare - 1) / kShare;
    std::vector<uint32_t> of(pool.size());
    pool.ForEach(shares, [&](int thread, int64_t share) {
      // Compared as integers, in whose order NaN comes last and which compilers make vectors of.
      uint32_t largest = of[thread];
      const int64_t end = std::min(size, (share + 1) * kShare);
#pragma omp simd reduction(max : largest)
      for (int64_t i = share * kShare; i < end; ++i) {
        largest = std::max(largest, Magnitude(Widen(v[i])));
      }
      of[thread] = largest;
    });
    const uint32_t largest = *std::max_element(of.begin(), of.end());
    float value;
    std::memcpy(&value, &largest, sizeof(value));
    return value == value ? value : std::numeric_limits<float>::infinity();
  });
}

// Whether every tap meets the input in some window, and every window in some tap: what is infinite
// or NaN then shows in the result.
bool AllMeetTheInput(const Convolution& p) {
  for (int axis = 0; axis < p.rank(); ++axis) {
    const auto meets = [&](int64_t window, int64_t tap) {
      const int64_t at = window * p.stride[axis] + tap * p.dilation[axis] - p.low[axis];
      return at >= 0 && at < p.x[axis + 1];
    };
    std::vector<bool> windows(p.y[axis + 1]), taps(p.kernel[axis]);
    for (size_t i = 0; i < windows.size(); ++i) {
      for (size_t t = 0; t < taps.size(); ++t) {
        if (meets(i, t)) windows[i] = taps[t] = true;
      }
    }
    const auto all = [](const std::vector<bool>& v) {
      return std::all_of(v.begin(), v.end(), [](bool b) { return b; });
    };
    if (!all(windows) || !all(taps)) return false;
  }
  return true;
}

}  // namespace

bool StaysFinite(const Convolution& p, const void* x, const void* kernel, const void* bias,
                 const Pool& pool) {
  const int64_t terms = Size(p.kernel) / p.kernel.back();
  const double x_most = Largest(x, Size(p.x), p.dtype, pool);
  const double k_most = Largest(kernel, Size(p.kernel), p.dtype, pool);
  const double b_most = bias == nullptr ? 0 : Largest(bias, p.kernel.back(), p.dtype, pool);
  // False where one of them is infinite, and 0 times it is NaN.
  return x_most * k_most * static_cast<double>(terms) + b_most <
         std::numeric_limits<float>::max() / 2;
}

void Relu(const Convolution& p, void* y, const Pool& pool) {
  const int64_t size = Size(p.y);
  OfType(p.dtype, [&](auto number) {
    auto* v = static_cast<decltype(number)*>(y);
    pool.ForEach((size + kShare - 1) / kShare, [&](int, int64_t share) {
      const int64_t end = std::min(size, (share + 1) * kShare);
#pragma omp simd
      for (int64_t i = share * kShare; i < end; ++i) {
        const float value = Widen(v[i]);
        Narrow(value < 0.f ? 0.f : value, v[i]);
      }
    });
  });
}

bool FiniteBesidePadding(Pass pass, const Convolution& p, const void* other, const void* out,
                         const Pool& pool) {
  const bool forward = pass == Pass::kForward;
  const int64_t of_other = Size(forward ? p.kernel : p.y), of_out = Size(forward ? p.y : p.kernel);
  const bool smaller = of_out < of_other && AllMeetTheInput(p);
  return std::isfinite(smaller ? Largest(out, of_out, p.dtype, pool)
                               : Largest(other, of_other, p.dtype, pool));
}

bool HasPadding(const Convolution& p) {
  const auto some = [](int64_t n) { return n > 0; };
  return std::any_of(p.low.begin(), p.low.end(), some) ||
         std::any_of(p.high.begin(), p.high.end(), some);
}

Convolution WithoutPadding(const Convolution& p) {
  Convolution q = p;
  for (int i = 0; i < p.rank(); ++i) q.x[i + 1] += p.low[i] + p.high[i];
  std::fill(q.low.begin(), q.low.end(), 0);
  std::fill(q.high.begin(), q.high.end(), 0);
  return q;
}

void Pad(const Convolution& p, const void* x, void* padded) {
  const std::vector<int64_t> to = WithoutPadding(p).x;
  const int last = p.rank();  // the axis whose rows are copied in one go
  const auto bytes = static_cast<int64_t>(memory::data_type_size(p.dtype)) * p.x.back();
  std::memset(padded, 0, Size(to) * bytes / p.x.back());
  const int64_t rows = Size(p.x) / (p.x[last] * p.x.back());
  for (int64_t row = 0; row < rows; ++row) {
    // Where the row begins: its place along every axis, moved by the padding before it.
    int64_t rest = row, at = 0, stride = to[last];
    for (int axis = last - 1; axis >= 0; --axis) {
      const int64_t low = axis > 0 ? p.low[axis - 1] : 0;
      at += (rest % p.x[axis] + low) * stride;
      rest /= p.x[axis];
      stride *= to[axis];
    }
    std::memcpy(static_cast<char*>(padded) + (at + p.low[last - 1]) * bytes,
                static_cast<const char*>(x) + row * p.x[last] * bytes, p.x[last] * bytes);
  }
}

}  // namespace cnnlab
