// Exact zeros where no window reaches: part of fft_convolution.h.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fft_map.h"

namespace cnnlab {

// Where an example's windows hold anything but zeros: what transforms leave elsewhere is rounding.
struct Reach {
  Sequences sequences;
  const int32_t* last = nullptr;  // up to each position, that has not only zeros; null: all have

  static int64_t Size(int64_t length) { return length + 1; }  // of `found`

  // Of an example whose first `width` channels count: as large as `Size` says.
  static void Find(const Strand& channels, int64_t width, int32_t* found) {
    const int64_t length = channels.length();
    const auto zero = [&](int64_t position) {
      const float* at = channels.At(position);
      if (at == nullptr) return true;
      if (*at != 0) return false;
      return std::all_of(at, at + width, [](float v) { return v == 0; });
    };
    int64_t p = 0;
    while (p < length && !zero(p)) ++p;
    found[length] = p < length;
    if (p == length) return;
    for (int64_t i = 0; i < p; ++i) found[i] = static_cast<int32_t>(i);
    for (; p < length; ++p) {
      found[p] = !zero(p) ? static_cast<int32_t>(p) : p > 0 ? found[p - 1] : -1;
    }
  }
  static Reach Of(const Sequences& s, const int32_t* found) {
    return {s, found[s.inputs] != 0 ? found : nullptr};
  }

  // Whether the window of a result holds anything but zeros.
  bool Held(int64_t position) const {
    const int64_t end = std::min(position - sequences.first_lag, sequences.inputs - 1);
    const int64_t begin = std::max<int64_t>(position - sequences.last_lag, 0);
    return end >= begin && (last == nullptr || last[end] >= begin);
  }

  // Calls `run(write)` with a function that writes the k-th of so many results from `first` on; or
  // adds it to what is there.
  template <bool kAdd = false, typename Run>
  void Writer(const Strand& to, int64_t first, int64_t count, const Run& run) const {
    const bool held = last == nullptr && Held(first) && Held(first + count - 1);
    if (held && to.Plain(first, count)) {
      float* const at = to.data + first * to.stride;
      const int64_t next = to.stride;
      return run([at, next](int64_t k, Complex v) {
        if (kAdd) v = v + Complex::Load(at + k * next);
        v.Store(at + k * next);
      });
    }
    run([&](int64_t k, Complex v) {
      float* const at = to.At(first + k);
      if (at == nullptr) return;
      const bool within = Held(first + k);
      if (!kAdd) return to.Store(at, within ? v : Complex{});
      if (within) to.Store(at, v + to.Load(first + k));
    });
  }
};

}  // namespace cnnlab
