// What one of the threads of a call does of a task: part of fft_convolution.h.
#pragma once

#include <omp.h>

#include <cstdint>

namespace cnnlab {

// All of it; or, where tasks are fewer than threads, or so large that each with a memory of its own
// would take much, one of `size` parts.
struct Share {
  int64_t rank = 0, size = 1;

  int64_t Begin(int64_t count) const { return count * rank / size; }
  int64_t End(int64_t count) const { return count * (rank + 1) / size; }
  // Until all threads have done their part.
  void Wait() const {
    if (size == 1) return;
#pragma omp barrier
  }

  static bool Pays(int64_t tasks, int64_t threads, int64_t floats) {
    return threads > 1 && (tasks < threads || floats >= int64_t{1} << 20);
  }
};

}  // namespace cnnlab
