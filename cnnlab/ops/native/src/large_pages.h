// Memory in large pages.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace cnnlab {

// New memory the system clears and maps page by page as it is written, up to half of a pass's time.
// Where it may (Linux, `transparent_hugepage`: madvise) it does 2 MB at a time.
inline void UseLargePages(void* data, size_t bytes) {
  constexpr uintptr_t kLarge = uintptr_t{2} << 20;
  const auto begin = (reinterpret_cast<uintptr_t>(data) + kLarge - 1) / kLarge * kLarge;
  const auto end = (reinterpret_cast<uintptr_t>(data) + bytes) / kLarge * kLarge;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

// The same for all of the memory that a large result was made in: what an XLA program works in is
// one piece, new at each call, and XLA's own code writes the rest of it. Linux 6.11 or newer tells
// where the piece ends; on older ones it is the result alone.
void UseLargePagesAround(void* result, size_t bytes);

}  // namespace cnnlab
