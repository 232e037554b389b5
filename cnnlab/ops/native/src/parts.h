// A convolution as several smaller ones, each of which one thread computes. Of a large kernel each
// reads a part (slices), otherwise all of it (parts).
#pragma once

#include "convolution.h"

namespace cnnlab {

// The problem with part of the examples, or of one example's rows, and where its arrays begin in
// those of the whole, in numbers. Of a kernel's gradient the parts' results are summands.
struct Part {
  Convolution problem;
  int64_t x = 0, y = 0;
};

// At most `count` parts; none where the problem can't be cut so, or is better cut otherwise.
std::vector<Part> PartsOf(Pass pass, const Convolution& problem, int64_t count);

// The problem with some of the output channels, of a gradient in the input with some of the inputs':
// the first of them, and where their part of the kernel begins, in numbers. What else has these
// channels (results, of a kernel's gradient the cotangent) the slice has by itself.
struct Slice {
  Convolution problem;
  int64_t first = 0, kernel = 0;
};

// None where the kernel is small, or in groups.
std::vector<Slice> SlicesOf(Pass pass, const Convolution& problem, int64_t threads);

}  // namespace cnnlab
