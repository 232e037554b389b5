// How many threads a call may use.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>

namespace cnnlab {

// XLA calls from threads of its own pool, sometimes from several at once. A call works with its
// own thread and with those helpers that no other call has: with OMP_NUM_THREADS (or cores) n
// there are n - 1 of them in the process, however many calls run.
class Team {
 public:
  Team() : before_(omp_get_max_threads()) {
    int free = Helpers().load();
    do {
      helpers_ = std::max(free, 0);
    } while (!Helpers().compare_exchange_weak(free, free - helpers_));
    omp_set_num_threads(size());
  }
  ~Team() {
    omp_set_num_threads(before_);
    Helpers().fetch_add(helpers_);
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return 1 + helpers_; }
  static int Limit() {
    static const int limit = omp_get_max_threads();
    return limit;
  }

 private:
  static std::atomic<int>& Helpers() {
    static std::atomic<int> helpers{Limit() - 1};
    return helpers;
  }

  int before_;
  int helpers_ = 0;
};

}  // namespace cnnlab
