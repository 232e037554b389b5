// Fourier transforms of a few complex entries, in registers: the steps of fourier.h.
#pragma once

#include <cstdint>

#include "lanes.h"

namespace cnnlab {

// An entry: a vector of real parts, then one of imaginary parts.
constexpr int64_t kEntry = 2 * kWidest;

struct Complex {
  using L = Lanes<kWidest>;
  using Vec = L::Vec;

  Vec re, im;

  static Complex Load(const float* p) { return {L::Load(p), L::Load(p + kWidest)}; }
  void Store(float* p) const {
    L::Store(p, re);
    L::Store(p + kWidest, im);
  }
};

// Keeps the compiler from loading an entry again for each use of it; of a pointer, from keeping what it
// points at from one turn of a loop to the next. Both cost registers that sums need.
inline void Hold(const float*& at) { asm("" : "+r"(at)); }
inline void Hold(Complex::Vec& v) {
#ifdef __AVX__
  asm("" : "+v"(v));
#else
  (void)v;
#endif
}
inline void Hold(Complex& v) {
  Hold(v.re);
  Hold(v.im);
}

inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(float s, Complex a) { return {s * a.re, s * a.im}; }

// a times w, or times its conjugate.
template <bool kConjugate>
inline Complex Turn(Complex a, float c, float s) {
  if (kConjugate) s = -s;
  return {a.re * c - a.im * s, a.im * c + a.re * s};
}

// a times -i forward, i back.
template <bool kBack>
inline Complex Quarter(Complex a) {
  return kBack ? Complex{-a.im, a.re} : Complex{a.im, -a.re};
}

// The transform of so many entries, in place.
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

// The r-th of R entries times exp(-pi i r / R), back times its conjugate.
template <bool kBack>
inline void Advance(Complex (&v)[2]) {
  v[1] = Quarter<kBack>(v[1]);
}

template <bool kBack>
inline void Advance(Complex (&v)[3]) {
  constexpr float kSin = 0.866025403784438647f;
  v[1] = Turn<kBack>(v[1], 0.5f, -kSin);
  v[2] = Turn<kBack>(v[2], -0.5f, -kSin);
}

template <bool kBack>
inline void Advance(Complex (&v)[4]) {
  constexpr float kRoot = 0.707106781186547524f;
  v[1] = kRoot * (v[1] + Quarter<kBack>(v[1]));
  v[2] = Quarter<kBack>(v[2]);
  v[3] = kRoot * (Quarter<kBack>(v[3]) - v[3]);
}

template <bool kBack>
inline void Advance(Complex (&v)[5]) {
  constexpr float c1 = 0.809016994374947424f, c2 = 0.309016994374947424f;
  constexpr float s1 = 0.587785252292473129f, s2 = 0.951056516295153572f;
  v[1] = Turn<kBack>(v[1], c1, -s1);
  v[2] = Turn<kBack>(v[2], c2, -s2);
  v[3] = Turn<kBack>(v[3], -c2, -s2);
  v[4] = Turn<kBack>(v[4], -c1, -s1);
}

}  // namespace cnnlab
