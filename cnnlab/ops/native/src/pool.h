// The threads of XLA's own pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

namespace cnnlab {

// What XLA computes between two convolutions it shares out over these threads, so that they are awake
// when a short call comes; OpenMP's have to be woken, and then keep XLA's from their cores. They may
// be busy as well: who calls does the work, those who come in time help, and nobody waits for others
// to come. So no result may depend on who does what.
class Pool {
 public:
  using Schedule = std::function<void(std::function<void()>)>;

  // `size`: with the thread that calls.
  Pool(int size, Schedule schedule) : size_(size), schedule_(std::move(schedule)) {}

  int size() const { return size_; }

  // `work(thread, task)` for each task from 0 to `count - 1`; of two that run at once the numbers of
  // their threads differ, from 0 to `size() - 1`. What one of them throws is thrown when all are over.
  template <typename Work>
  void ForEach(int64_t count, const Work& work) const {
    const auto state = std::make_shared<State>();  // a helper may come when all is over
    const auto run = [&work, count](State& at, int thread) {
      try {
        for (int64_t task; (task = at.task++) < count;) work(thread, task);
      } catch (...) {
        if (!at.thrown.test_and_set()) at.error = std::current_exception();
        at.task = count;
      }
    };
    const int64_t helpers = std::min<int64_t>(size_, count) - 1;
    for (int64_t i = 0; i < helpers; ++i) {
      schedule_([state, run] {
        if (state->at_work++ >= 0) run(*state, 1 + state->came++);
        --state->at_work;
      });
    }
    run(*state, 0);
    if (helpers > 0) {
      state->at_work -= kClosed;
      while (state->at_work != -kClosed) std::this_thread::yield();
    }
    if (state->error) std::rethrow_exception(state->error);
  }

 private:
  static constexpr int kClosed = 1 << 30;
  struct State {
    std::atomic<int64_t> task{0};
    std::atomic<int> came{0};     // helpers that did something
    std::atomic<int> at_work{0};  // those now; kClosed less once none may begin
    std::atomic_flag thrown;
    std::exception_ptr error;
  };

  int size_;
  Schedule schedule_;
};

}  // namespace cnnlab
