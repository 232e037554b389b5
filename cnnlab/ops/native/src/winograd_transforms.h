// The transforms of F(4, 3) for the points 0, 1, -1, 2, -2 and infinity, on vectors of channels.
#pragma once

#include "lanes.h"

namespace cnnlab {

constexpr int kTile = 4;    // results of a tile along an axis
constexpr int kWindow = 6;  // inputs of a tile along an axis
constexpr int kPositions = kWindow * kWindow;

template <int kLanes>
struct Transform : Lanes<kLanes> {
  using Vec = typename Lanes<kLanes>::Vec;

  // y = B^T d, y = A^T d and y = A d of one axis: the input, the result and its cotangent; `out` are
  // `step` vectors apart.
  static void Input(const Vec* in, Vec* out, int step) {
    const Vec d0 = in[0], d1 = in[1], d2 = in[2], d3 = in[3], d4 = in[4], d5 = in[5];
    const Vec a = d4 - 4.f * d2, b = d3 - 4.f * d1, c = d4 - d2, e = 2.f * (d3 - d1);
    out[0] = 4.f * d0 - 5.f * d2 + d4;
    out[step] = a + b;
    out[2 * step] = a - b;
    out[3 * step] = c + e;
    out[4 * step] = c - e;
    out[5 * step] = 4.f * d1 - 5.f * d3 + d5;
  }

  static void Result(const Vec* in, Vec* out, int step) {
    const Vec a = in[1] + in[2], b = in[1] - in[2];
    const Vec c = in[3] + in[4], d = in[3] - in[4];
    out[0] = in[0] + a + c;
    out[step] = b + 2.f * d;
    out[2 * step] = a + 4.f * c;
    out[3 * step] = b + 8.f * d + in[5];
  }

  static void Cotangent(const Vec* in, Vec* out, int step) {
    const Vec d0 = in[0], d1 = in[1], d2 = in[2], d3 = in[3];
    const Vec a = d0 + d2, b = d1 + d3, c = d0 + 4.f * d2, e = 2.f * d1 + 8.f * d3;
    out[0] = d0;
    out[step] = a + b;
    out[2 * step] = a - b;
    out[3 * step] = c + e;
    out[4 * step] = c - e;
    out[5 * step] = d3;
  }

  // y = G k: three taps to six positions; and its transpose.
  static void Kernel(const Vec* in, Vec* out, int in_step, int out_step) {
    const Vec k0 = in[0], k1 = in[in_step], k2 = in[2 * in_step];
    const Vec a = (k0 + k2) * (-1.f / 6), b = k1 * (-1.f / 6);
    const Vec c = k0 * (1.f / 24) + k2 * (1.f / 6), d = k1 * (1.f / 12);
    out[0] = k0 * 0.25f;
    out[out_step] = a + b;
    out[2 * out_step] = a - b;
    out[3 * out_step] = c + d;
    out[4 * out_step] = c - d;
    out[5 * out_step] = k2;
  }

  static void KernelBack(const Vec* in, Vec* out, int in_step, int out_step) {
    const Vec a = (in[in_step] + in[2 * in_step]) * (-1.f / 6);
    const Vec b = (in[in_step] - in[2 * in_step]) * (-1.f / 6);
    const Vec c = in[3 * in_step] + in[4 * in_step], d = in[3 * in_step] - in[4 * in_step];
    out[0] = in[0] * 0.25f + a + c * (1.f / 24);
    out[out_step] = b + d * (1.f / 12);
    out[2 * out_step] = a + c * (1.f / 6) + in[5 * in_step];
  }
};

}  // namespace cnnlab
