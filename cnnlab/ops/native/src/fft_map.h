// What a pass of a convolution of sequences maps to what, a vector of channels at a time.
#pragma once

#include <algorithm>
#include <utility>

#include "convolution.h"
#include "fft_plan.h"

namespace cnnlab {

// An array (batch, count, channels) whose entries lie `step` positions apart, zeros between them;
// backwards if reversed. A vector has one channel of each of some groups of `per_group`.
struct ChannelArray {
  float* data;
  int64_t batch, count, step, channels, per_group;
  bool reversed;

  int64_t length() const { return (count - 1) * step + 1; }

  // The channels of a position; null where there is no entry, or no such example.
  float* At(int64_t example, int64_t position) const {
    if (example >= batch || position < 0 || position >= length()) return nullptr;
    if (reversed) position = length() - 1 - position;
    if (step > 1) {
      if (position % step != 0) return nullptr;
      position /= step;
    }
    return data + (example * count + position) * channels;
  }
};

// The vector of groups `group` and the next: their `channel`-th channels.
struct Lane {
  int64_t group, groups, per_group;  // `groups` of them, no more than a vector has

  using L = Lanes<kWidest>;

  L::Vec Load(const float* at, int64_t channel) const {
    L::Vec v{};
    if (at == nullptr) return v;
    at += group * per_group + channel;
    if (per_group == 1 && groups == kWidest) return L::Load(at);
    for (int64_t i = 0; i < groups; ++i) v[i] = at[i * per_group];
    return v;
  }
  void Store(float* at, int64_t channel, L::Vec v) const {
    at += group * per_group + channel;
    if (per_group == 1 && groups == kWidest) return L::Store(at, v);
    for (int64_t i = 0; i < groups; ++i) at[i * per_group] = v[i];
  }
  bool AllZero(const float* at) const {
    if (at == nullptr) return true;
    at += group * per_group;
    return std::all_of(at, at + groups * per_group, [](float v) { return v == 0; });
  }
};

// What a pass maps to what, as sequences: of a gradient in the input from dy to dx.
struct Map {
  ChannelArray from, to;
  int64_t rows, columns;  // of the matrix between a group's channels: `from`'s and `to`'s
  // The kernel (taps, channels in a group, all output channels): lag of a tap t is
  // `sign * (t * dilation - low)`.
  int64_t taps, dilation, low, sign, group_in, out_channels, group_out, groups;
  bool causal, transposed;

  int64_t Lag(int64_t tap) const { return sign * (tap * dilation - low); }
  Sequences sequences() const {
    const auto [first, last] = std::minmax({Lag(0), Lag(taps - 1)});
    return {from.length(), to.length(), first, last};
  }
  // The kernel's row of that lag, or -1.
  int64_t Tap(int64_t lag) const {
    const int64_t at = lag * sign + low;
    if (dilation == 1) return at < 0 || at >= taps ? -1 : at;  // a division takes long
    return at < 0 || at % dilation != 0 || at / dilation >= taps ? -1 : at / dilation;
  }
  Lane Side(int64_t block, int64_t per_group) const {
    return {block * kWidest, std::min<int64_t>(kWidest, groups - block * kWidest), per_group};
  }
  int64_t blocks() const { return (groups + kWidest - 1) / kWidest; }
  int64_t pairs() const { return (from.batch + 1) / 2; }
  // Where the kernel has the tap's products of a row and a column, for the vector's first group.
  float* Weight(float* kernel, int64_t tap, int64_t row, int64_t column) const {
    const auto [in, out] = transposed ? std::pair(column, row) : std::pair(row, column);
    return kernel + (tap * group_in + in) * out_channels + out;
  }
  Lane::L::Vec Weights(const float* kernel, int64_t lag, int64_t row, int64_t column, int64_t block) const {
    const int64_t tap = Tap(lag);
    if (tap < 0) return Lane::L::Vec{};
    const float* at = Weight(const_cast<float*>(kernel), tap, row, column);
    return Side(block, group_out).Load(at, 0);
  }

  // Of the kernel's gradient: `from` x to `to` dy.
  static Map Of(Pass pass, const Convolution& p, const float* a, const float* b, float* out);
};

}  // namespace cnnlab
