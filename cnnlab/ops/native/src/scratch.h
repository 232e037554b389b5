// Scratch memory, reused between calls and bounded.
#pragma once

#include <cstdlib>
#include <list>
#include <mutex>
#include <new>

namespace cnnlab {

// Blocks given back last are taken first; those that would exceed the limit are freed, oldest
// first. A block is in use by one call at a time.
class ScratchPool {
 public:
  static constexpr size_t kLimit = size_t{256} << 20;

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
      for (auto at = free_.begin(); at != free_.end(); ++at) {
        // Not one far too large: another call may want that.
        if (at->bytes < bytes || at->bytes / 4 > bytes) continue;
        Block block = *at;
        free_.erase(at);
        kept_ -= block.bytes;
        return block;
      }
    }
    constexpr size_t kPage = 4096;
    bytes = (bytes + kPage - 1) / kPage * kPage;
    void* data = std::aligned_alloc(kPage, bytes);
    if (data == nullptr) throw std::bad_alloc();
    return {data, bytes};
  }

  void Give(Block block) {
    std::lock_guard lock(mutex_);
    free_.push_front(block);
    kept_ += block.bytes;
    while (kept_ > kLimit) {
      kept_ -= free_.back().bytes;
      std::free(free_.back().data);
      free_.pop_back();
    }
  }

 private:
  std::mutex mutex_;
  std::list<Block> free_;
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
