// Numbers of 16 bits: the upper half of a float's.
#pragma once

#include <cstdint>
#include <cstring>

namespace cnnlab {

struct Bfloat16 {
  uint16_t bits;
};

inline float Widen(float v) { return v; }
inline float Widen(Bfloat16 v) {
  const uint32_t bits = static_cast<uint32_t>(v.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

// To the nearest, ties to even. NaN stays NaN.
inline void Narrow(float v, float& to) { to = v; }
inline void Narrow(float v, Bfloat16& to) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  to.bits = static_cast<uint16_t>(v != v ? bits >> 16 | 0x40 : rounded);
}

}  // namespace cnnlab
