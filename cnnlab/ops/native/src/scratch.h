// Scratch memory, reused between calls and bounded.
#pragma once

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include "large_pages.h"

namespace cnnlab {

// A call takes the smallest block that is large enough. Where none is, the largest goes for a new
// one: of calls one after another, only the memory of the largest is kept, of calls side by side a
// block each. A block is in use by one call at a time.
class ScratchPool {
 public:
  static constexpr size_t kLimit = size_t{512} << 20;

  struct Block {
    void* data = nullptr;
    size_t bytes = 0;
  };

  // Never destroyed: a thread of XLA's may still call while the process ends.
  static ScratchPool& Shared() {
    static auto* pool = new ScratchPool;
    return *pool;
  }

  Block Take(size_t bytes) {
    {
      std::lock_guard lock(mutex_);
      auto at = free_.lower_bound(bytes);
      const bool found = at != free_.end();
      if (!found && !free_.empty()) --at;
      if (at != free_.end()) {
        const Block block{at->second, at->first};
        Forget(at);
        if (found) return block;
        std::free(block.data);
      }
    }
    // Of a large block a page is larger, too: a new one takes a fault each.
    constexpr size_t kPage = 4096, kLarge = size_t{2} << 20;
    const size_t page = bytes < 2 * kLarge ? kPage : kLarge;
    bytes = (bytes + page - 1) / page * page;
    void* data = std::aligned_alloc(page, bytes);
    if (data == nullptr) throw std::bad_alloc();
    UseLargePages(data, bytes);
    return {data, bytes};
  }

  void Give(Block block) {
    std::lock_guard lock(mutex_);
    free_.emplace(block.bytes, block.data);
    kept_ += block.bytes;
    while (kept_ > kLimit) {
      std::free(free_.begin()->second);
      Forget(free_.begin());
    }
  }

  size_t Kept() {
    std::lock_guard lock(mutex_);
    return kept_;
  }

 private:
  using Blocks = std::multimap<size_t, void*>;  // by their bytes

  void Forget(Blocks::iterator at) {
    kept_ -= at->first;
    free_.erase(at);
  }

  std::mutex mutex_;
  Blocks free_;
  size_t kept_ = 0;
};

// Memory for one call.
class Scratch {
 public:
  Scratch(ScratchPool& pool, size_t bytes) : pool_(pool) {
    if (bytes > 0) block_ = pool_.Take(bytes);
  }
  ~Scratch() {
    if (block_.data != nullptr) pool_.Give(block_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  char* data() const { return static_cast<char*>(block_.data); }

 private:
  ScratchPool& pool_;
  ScratchPool::Block block_;
};

}  // namespace cnnlab
