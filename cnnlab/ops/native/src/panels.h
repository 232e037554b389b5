// Products of matrices whose sums stay in registers.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "lanes.h"

namespace cnnlab {

#ifdef __AVX512F__
constexpr int kMostRows = 12;
#else
constexpr int kMostRows = 6;
#endif
constexpr int64_t kPanel = 2 * kWidest;  // columns of a panel

// A matrix: numbers that lie `row` and `column` apart.
struct Factors {
  const float* data;
  int64_t row, column;
};

// `kRows` rows of c (kRows, kPanel) = a (kRows, terms) b (terms, kPanel), or added to what is there;
// rows of b lie `b_row` apart, those of c `c_row`.
template <int kRows>
void MultiplyRows(const Factors& a, const float* b, int64_t b_row, int64_t terms, float* c,
                  int64_t c_row, bool add) {
  using L = Lanes<kWidest>;
  L::Vec sum[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = add ? L::Load(c + r * c_row) : L::Vec{};
    sum[r][1] = add ? L::Load(c + r * c_row + kWidest) : L::Vec{};
  }
  const float* number = a.data;
  for (int64_t term = 0; term < terms; ++term, number += a.column, b += b_row) {
    const L::Vec left = L::Load(b), right = L::Load(b + kWidest);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] += number[r * a.row] * left;
      sum[r][1] += number[r * a.row] * right;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    L::Store(c + r * c_row, sum[r][0]);
    L::Store(c + r * c_row + kWidest, sum[r][1]);
  }
}

template <int... kLess>
constexpr auto ByRows(std::integer_sequence<int, kLess...>) {
  return std::array{&MultiplyRows<kLess + 1>...};
}

// The same for any number of rows, as many at a time as fit, evenly.
inline void Multiply(int64_t rows, const Factors& a, const float* b, int64_t b_row, int64_t terms,
                     float* c, int64_t c_row, bool add) {
  static constexpr auto kByRows = ByRows(std::make_integer_sequence<int, kMostRows>());
  const int64_t parts = (rows + kMostRows - 1) / kMostRows;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = rows * part / parts, count = rows * (part + 1) / parts - first;
    kByRows[count - 1]({a.data + first * a.row, a.row, a.column}, b, b_row, terms,
                       c + first * c_row, c_row, add);
  }
}

}  // namespace cnnlab
