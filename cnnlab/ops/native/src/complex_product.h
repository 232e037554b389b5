// Products of complex matrices whose sums stay in registers.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "fourier_steps.h"
#include "panels.h"

namespace cnnlab {

// Complex numbers, imaginary parts kWidest behind real ones: that of row r and term t at
// `rows[r] + terms[t]`.
struct ComplexFactors {
  const float* data;
  const int32_t *rows, *terms;
};

// `kRows` rows of c, of a vector each, = a, or its conjugate, times b; or added to what is there. Rows
// of b, one a term, and of c lie `next` apart.
template <bool kConjugate, int kRows>
void MultiplyComplexRows(const ComplexFactors& a, int64_t terms, const float* b, float* c,
                         int64_t next, bool add) {
  Complex sum[kRows];
  const float* row[kRows];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    sum[r] = add ? Complex::Load(c + r * next) : Complex{};
    row[r] = a.data + a.rows[r];
  }
  for (int64_t t = 0; t < terms; ++t, b += next) {
    const int64_t at = a.terms[t];
    Complex v = Complex::Load(b);
    Hold(v);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const float re = row[r][at], im = row[r][at + kWidest];
      sum[r].re += re * v.re;
      sum[r].im += re * v.im;
      if (kConjugate) {
        sum[r].re += im * v.im;
        sum[r].im -= im * v.re;
      } else {
        sum[r].re -= im * v.im;
        sum[r].im += im * v.re;
      }
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) sum[r].Store(c + r * next);
}

template <bool kConjugate, int... kLess>
constexpr auto ByComplexRows(std::integer_sequence<int, kLess...>) {
  return std::array{&MultiplyComplexRows<kConjugate, kLess + 1>...};
}

// The same for any number of rows, as many at a time as fit, evenly.
template <bool kConjugate>
void MultiplyComplex(int64_t rows, const ComplexFactors& a, int64_t terms, const float* b, float* c,
                     int64_t next, bool add) {
  static constexpr auto kByRows =
      ByComplexRows<kConjugate>(std::make_integer_sequence<int, kMostRows>());
  const int64_t parts = (rows + kMostRows - 1) / kMostRows;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = rows * part / parts, count = rows * (part + 1) / parts - first;
    kByRows[count - 1]({a.data, a.rows + first, a.terms}, terms, b, c + first * next, next, add);
  }
}

}  // namespace cnnlab
