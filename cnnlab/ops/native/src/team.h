// How many threads a call may use.
#pragma once

#include <omp.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace cnnlab {

// XLA calls from threads of its own pool, sometimes from several at once. A call works with its
// own thread and with helpers: with OMP_NUM_THREADS (or cores) n there are n - 1 of them in the
// process, however many calls run.
class Team {
 public:
  enum class Helpers {
    kNone,
    kAll,  // waits until it has all of them: sums over threads are then the same in every run
  };

  explicit Team(Helpers wanted) : before_(omp_get_max_threads()) {
    if (wanted != Helpers::kNone) {
      auto& pool = Shared();
      std::unique_lock lock(pool.mutex);
      pool.returned.wait(lock, [&pool] { return pool.free == Limit() - 1; });
      helpers_ = pool.free;
      pool.free = 0;
    }
    omp_set_dynamic(0);  // not fewer than asked for: sums count on each
    omp_set_num_threads(size());
  }
  ~Team() {
    omp_set_num_threads(before_);
    omp_set_dynamic(dynamic_);
    if (helpers_ == 0) return;
    auto& pool = Shared();
    {
      std::lock_guard lock(pool.mutex);
      pool.free += helpers_;
    }
    pool.returned.notify_all();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return 1 + helpers_; }

  static int Limit() {
    static const int limit = std::min(omp_get_max_threads(), omp_get_thread_limit());
    return limit;
  }

 private:
  struct Pool {
    std::mutex mutex;
    std::condition_variable returned;
    int free = Limit() - 1;
  };

  // Never destroyed: a thread of XLA's may still call while the process ends.
  static Pool& Shared() {
    static auto* pool = new Pool;
    return *pool;
  }

  int before_;
  int dynamic_ = omp_get_dynamic();
  int helpers_ = 0;
};

}  // namespace cnnlab
