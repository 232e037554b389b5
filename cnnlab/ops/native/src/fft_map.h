// What a pass of a convolution of sequences maps to what, two vectors of channels at a time.
#pragma once

#include <algorithm>
#include <utility>

#include "convolution.h"
#include "fft_plan.h"

namespace cnnlab {

// Groups whose channels are computed together: a vector of them is real part, a vector imaginary
// part of a complex sequence.
constexpr int64_t kGroups = 2 * kWidest;

// Channels, one a lane, along one example or along a kernel's taps.
struct Strand {
  float* data;              // of the first entry
  int64_t count, stride;    // entries, and floats from one to the next
  int64_t step;             // positions from one entry to the next
  int64_t real, imaginary;  // lanes of each vector that are a channel
  int64_t apart, second;    // floats from a channel to the next, and from one vector's to the other's

  bool whole() const {
    return apart == 1 && second == kWidest && real == kWidest && imaginary == kWidest;
  }
  int64_t length() const { return (count - 1) * step + 1; }

  // The entry of a position; null where there is none.
  float* At(int64_t position) const {
    if (step > 1) {  // a division takes long
      if (position % step != 0) return nullptr;
      position /= step;
    }
    return position < 0 || position >= count ? nullptr : data + position * stride;
  }
  // Whether all positions have whole entries, one after another: a loop over them is then quick.
  bool Plain(int64_t first, int64_t number) const {
    return whole() && step == 1 && first >= 0 && first + number <= count;
  }
  Complex Load(int64_t position) const {
    const float* at = At(position);
    if (at == nullptr) return Complex{};
    return whole() ? Complex::Load(at) : Gather(at);
  }
  void Store(float* at, Complex v) const { whole() ? v.Store(at) : Scatter(at, v); }

  // Calls `run(load)` with a function that loads the k-th of so many entries from `first` on.
  template <typename Run>
  void Entries(int64_t first, int64_t number, const Run& run) const {
    if (Plain(first, number)) {
      const float* const at = data + first * stride;
      const int64_t next = stride;
      return run([at, next](int64_t k) { return Complex::Load(at + k * next); });
    }
    run([this, first](int64_t k) { return Load(first + k); });
  }

 private:
  Complex Gather(const float* at) const;
  void Scatter(float* at, Complex v) const;
};

// How many of `present` channels, and no more than fit, are in a first vector and in a second one.
inline std::pair<int64_t, int64_t> Halves(int64_t present) {
  const int64_t real = std::min<int64_t>(present, kWidest);
  return {real, std::min<int64_t>(present - real, kWidest)};
}

// An array (batch, count, channels) whose entries lie `step` positions apart, zeros between them;
// backwards if reversed.
struct ChannelArray {
  float* data;
  int64_t batch, count, step, channels, per_group;
  bool reversed;

  int64_t length() const { return (count - 1) * step + 1; }
  Strand Channel(int64_t example, int64_t first_group, int64_t channel) const {
    float* const first = First(example) + first_group * per_group + channel;
    const auto [real, imaginary] = Halves(channels / per_group - first_group);
    return {first, count, stride(), step, real, imaginary, per_group, kWidest * per_group};
  }
  // So many channels that lie side by side, those of the second vector behind those of the first.
  Strand Adjacent(int64_t example, int64_t channel, int64_t real, int64_t imaginary) const {
    return {First(example) + channel, count, stride(), step, real, imaginary, 1, real};
  }

 private:
  int64_t stride() const { return reversed ? -channels : channels; }
  float* First(int64_t example) const {
    return data + (example * count + (reversed ? count - 1 : 0)) * channels;
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
  int64_t blocks() const { return (groups + kGroups - 1) / kGroups; }
  // Whether lanes are better filled by a group's channels than by those of different groups, so that
  // there is less to transform.
  bool dense() const {
    const int64_t vectors = groups * ((columns + kWidest - 1) / kWidest);
    const int64_t within = (groups * rows + kGroups - 1) / kGroups + (vectors + 1) / 2;
    const int64_t across = blocks() * (rows + columns);
    return within < across || (within == across && rows * columns > kGroups);
  }

  Strand From(int64_t example, int64_t block, int64_t row) const {
    return from.Channel(example, block * kGroups, row);
  }
  Strand To(int64_t example, int64_t block, int64_t column) const {
    return to.Channel(example, block * kGroups, column);
  }
  // Where the product of a row and a column is, of each tap.
  int64_t Weight(int64_t group, int64_t row, int64_t column) const {
    const auto [in, out] = transposed ? std::pair(column, row) : std::pair(row, column);
    return in * out_channels + group * group_out + out;
  }
  // The products of a row and a column: the position of a lag is `PositionOf(lag)`.
  Strand Weights(float* kernel, int64_t block, int64_t row, int64_t column) const {
    const auto [real, imaginary] = Halves(groups - block * kGroups);
    return {kernel + Weight(block * kGroups, row, column), taps, group_in * out_channels, dilation,
            real, imaginary, group_out, kWidest * group_out};
  }
  int64_t PositionOf(int64_t lag) const { return lag * sign + low; }

  // Of the kernel's gradient: `from` x to `to` dy.
  static Map Of(Pass pass, const Convolution& p, const float* a, const float* b, float* out);
};

}  // namespace cnnlab
