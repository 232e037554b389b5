// What outlives a call: plans, scratch memory, the threads that came to help.
#include <atomic>
#include <cstdio>
#include <thread>
#include <vector>

#include "driver.h"
#include "scratch.h"

using cnnlab::Pass;
using cnnlab::Size;

namespace {

// The caller of a pool's threads goes on when the one that came has ended.
bool WaitsForHelpers() {
  std::atomic<bool> came{false}, ended{false};
  std::thread helper;
  const cnnlab::Pool pool(2, [&helper](auto work) { helper = std::thread(std::move(work)); });
  pool.ForEach(2, [&](int thread, int64_t) {
    if (thread == 0) {
      while (!came) std::this_thread::yield();
    } else {
      came = true;
      for (volatile int i = 0; i < 1'000'000; i = i + 1) {
      }
      ended = true;
    }
  });
  const bool waited = ended;
  helper.join();
  return waited;
}

// Bytes of the process that are in memory.
int64_t Resident() {
  long pages = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &pages, &resident) != 2) return -1;
  std::fclose(file);
  return int64_t{resident} * 4096;
}

// Scratch memory of larger and larger calls, one after another, is that of the largest.
bool ScratchOfTheLargest() {
  cnnlab::ScratchPool pool;
  for (size_t megabytes = 1; megabytes <= 8; ++megabytes) pool.Give(pool.Take(megabytes << 20));
  pool.Give(pool.Take(1 << 20));
  return pool.Kept() == size_t{8} << 20;
}

}  // namespace

void CheckThreads(Tally& tally) { tally.Add(WaitsForHelpers()); }

// Many different shapes: what is kept, and what the last 500 of them add.
int Bounded() {
  int64_t before = 0;
  for (int64_t n = 1; n <= 1300; ++n) {
    const auto p = Make(1, n % 50 + 3, n / 50 + 3, 4, 3, 3, 8, 1, 1, 1, 1, 1);
    const std::vector<float> x(Size(p.x), 1.f), k(Size(p.kernel), 1.f);
    std::vector<float> y(Size(p.y));
    Convolve(Pass::kForward, p, x.data(), k.data(), nullptr, y.data());
    if (n == 800) before = Resident();
  }
  const int64_t kept = cnnlab::PlansKept(), growth = (Resident() - before) >> 20;
  std::printf("%ld of %ld plans kept, %ld MiB more\n", static_cast<long>(kept),
              static_cast<long>(cnnlab::PlansLimit()), static_cast<long>(growth));
  return kept != cnnlab::PlansLimit() || growth >= 8 || !ScratchOfTheLargest();
}
