// Matrices turned around in registers.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lanes.h"

namespace cnnlab {

// v[i][j] becomes v[j][i].
inline void Transpose(Lanes<8>::Vec (&v)[8]) {
  typedef int Places __attribute__((vector_size(32)));
  const auto exchange = [&v](int apart, Places low, Places high) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      if (i & apart) continue;
      const auto a = v[i], b = v[i + apart];
      v[i] = __builtin_shuffle(a, b, low);
      v[i + apart] = __builtin_shuffle(a, b, high);
    }
  };
  exchange(4, Places{0, 1, 2, 3, 8, 9, 10, 11}, Places{4, 5, 6, 7, 12, 13, 14, 15});
  exchange(2, Places{0, 1, 8, 9, 4, 5, 12, 13}, Places{2, 3, 10, 11, 6, 7, 14, 15});
  exchange(1, Places{0, 8, 2, 10, 4, 12, 6, 14}, Places{1, 9, 3, 11, 5, 13, 7, 15});
}

// to[j, i] = from[i, j], whose rows are `pitch` and `apart` numbers apart.
inline void CopyTurned(const float* from, int64_t rows, int64_t apart, int64_t columns, float* to,
                       int64_t pitch) {
  using L = Lanes<8>;
  for (int64_t row = 0; row < rows; row += 8) {
    for (int64_t column = 0; column < columns; column += 8) {
      const float* block = from + row * apart + column;
      float* into = to + column * pitch + row;
      const int64_t high = std::min<int64_t>(8, rows - row);
      const int64_t wide = std::min<int64_t>(8, columns - column);
      if (high == 8 && wide == 8) {
        L::Vec v[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) v[i] = L::Load(block + i * apart);
        Transpose(v);
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) L::Store(into + i * pitch, v[i]);
        continue;
      }
      for (int64_t i = 0; i < high; ++i) {
        for (int64_t j = 0; j < wide; ++j) into[j * pitch + i] = block[i * apart + j];
      }
    }
  }
}

}  // namespace cnnlab
