#include "fft_convolution.h"

#include <algorithm>

#include "fft_dense.h"
#include "fft_direct.h"
#include "fft_kernel_gradient.h"
#include "fft_map.h"
#include "fft_reach.h"
#include "fft_share.h"
#include "fft_spectra.h"
#include "scratch.h"

namespace cnnlab {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Where the parts of a task's memory lie, in floats, and those of a thread's.
struct Places {
  std::vector<int64_t> levels;  // rows of each, even frequencies and odd ones: the first a task's
  int64_t last, task, window, copies, in, out, end = 0;

  static int64_t Rows(const Map& m, const Level& l) {
    return std::max(m.rows * l.inputs, m.columns * l.outputs);
  }
  Places(const Map& m, const FftPlan& plan) {
    const auto take = [this](int64_t size) {
      const int64_t at = end;
      end += CeilDiv(size, kEntry) * kEntry;
      return at;
    };
    int64_t inputs = 0, longest = 0;
    last = take(Reach::Size(m.from.length()));
    for (const Level& l : plan.levels) {
      levels.push_back(take(2 * Rows(m, l) * l.row()));
      inputs = std::max(inputs, l.inputs);
      longest = std::max(longest, l.h);
      if (levels.size() == 1) task = std::exchange(end, 0);
    }
    if (plan.levels.empty()) task = std::exchange(end, 0);
    window = take(2 * longest * kEntry);
    copies = take(m.rows * inputs * kChunk * Both::kSize);
    in = take(m.rows * plan.direct * kEntry);
    out = take(m.causal ? m.columns * plan.block() * kEntry : 0);
  }
};

// One example, one block of groups.
struct Task {
  const Map& map;
  const FftPlan& plan;
  const Spectra& spectra;
  const Places& places;
  const float* kernel;  // its spectra
  int64_t block, example;
  float *memory, *work;  // the task's and the thread's
  Share share;
  Reach reach{};

  void Compute() {
    auto* found = reinterpret_cast<int32_t*>(memory + places.last);
    if (share.rank == 0) {
      const Strand channels = map.From(example, block, 0);
      Reach::Find(channels, (channels.real + channels.imaginary) * map.rows, found);
    }
    share.Wait();
    reach = Reach::Of(plan.sequences, found);
    map.causal ? Causal(0, 0, map.to.length()) : Whole();
    share.Wait();
  }

  // Of one block of the first level a thread does all.
  Share Part(size_t level) const { return level == 0 ? share : Share{}; }

  float* Rows(size_t level, const Level& l, int64_t row, int parity) const {
    return (level == 0 ? memory : work) + places.levels[level] + (parity * Places::Rows(map, l) + row) * l.row();
  }

  // The spectra of a level's results, of the inputs from `first` on.
  void Transform(size_t level, const Level& l, int64_t first) const {
    const Share part = Part(level);
    const int64_t rows = map.rows * l.inputs;
    for (int64_t i = part.Begin(rows); i < part.End(rows); ++i) {
      const Strand from = map.From(example, block, i / l.inputs);
      const int64_t at = first + i % l.inputs * l.h;
      from.Entries(at, l.h, [&](const auto& load) {
        l.fourier->Forward([&](int64_t k, auto) { return load(k); }, Rows(level, l, i, 0),
                           Rows(level, l, i, 1));
      });
    }
    part.Wait();
    for (int parity = 0; parity < 2; ++parity) {
      Multiply(spectra.Of(l), kernel + spectra.at[level], parity, part, Rows(level, l, 0, parity),
               work + places.copies);
    }
    part.Wait();
  }

  // The results of block number j: `sink(k, value)` for each of its entries.
  template <typename Sink>
  void Results(size_t level, const Level& l, int64_t column, int64_t j, const Sink& sink) const {
    const int64_t row = column * l.outputs + j;
    l.fourier->Back(Rows(level, l, row, 0), Rows(level, l, row, 1),
                    [&](int64_t k, Complex even, Complex odd) { sink(k, even - odd); });
  }

  void Whole() const {
    const Level& l = plan.levels[0];
    Transform(0, l, 0);
    for (int64_t column = 0; column < map.columns; ++column) {
      const Strand to = map.To(example, block, column);
      for (int64_t j = share.Begin(l.outputs); j < share.End(l.outputs); ++j) {
        const int64_t first = (l.first_output + j) * l.h - plan.shift;
        reach.Writer(to, first, l.h, [&](const auto& write) { Results(0, l, column, j, write); });
      }
    }
  }

  // Where the sums of a position are collected.
  float* Sums(int64_t column, int64_t position) const {
    return work + places.out + (column * plan.block() + position % plan.block()) * kEntry;
  }

  // Adds to the results of a piece what comes from inside of it, level by level, and writes them.
  void Causal(size_t level, int64_t first, int64_t count) const {
    if (level == 0 && plan.levels.empty()) std::fill_n(Sums(0, 0), map.columns * plan.block() * kEntry, 0.f);
    if (level == plan.levels.size()) return Direct(first, count);
    Level l = plan.levels[level];
    const int64_t blocks = CeilDiv(count, l.h);
    l.outputs = std::min(l.outputs, blocks - l.first_output);
    l.inputs = std::min(l.inputs, blocks - l.first_window);
    const bool joined = l.outputs > 0 && l.inputs > 0 && l.windows() > 0;
    if (joined) Transform(level, l, first);
    for (int64_t b = Part(level).Begin(blocks); b < Part(level).End(blocks); ++b) {
      const int64_t at = first + b * l.h;
      for (int64_t column = 0; column < map.columns; ++column) {
        float* const sums = Sums(column, at);
        const bool more = joined && b >= l.first_output;
        if (level == 0 && !more) std::fill_n(sums, l.h * kEntry, 0.f);
        if (!more) continue;
        Results(level, l, column, b - l.first_output, [&](int64_t k, Complex v) {
          float* const to = sums + k * kEntry;
          (level == 0 ? v : v + Complex::Load(to)).Store(to);
        });
      }
      Causal(level + 1, at, std::min(l.h, count - b * l.h));
    }
  }

  void Direct(int64_t first, int64_t count) const {
    const int64_t pitch = plan.direct * kEntry;
    for (int64_t row = 0; row < map.rows; ++row) {
      const Strand from = map.From(example, block, row);
      float* const in = work + places.in + row * pitch;
      from.Entries(first, plan.direct, [&](const auto& load) {
        for (int64_t k = 0; k < plan.direct; ++k) load(k).Store(in + k * kEntry);
      });
    }
    for (int64_t column = 0; column < map.columns; ++column) {
      const Strand to = map.To(example, block, column);
      float* const sums = Sums(column, first);
      for (int64_t p = 0; p < count; p += kResults) {
        for (int64_t row = 0; row < map.rows; ++row) {
          const float* in = work + places.in + row * pitch;
          const float* taps = kernel + spectra.at[plan.levels.size()] +
                              (row * map.columns + column) * pitch;
          AddCausal(in, taps, p, plan.sequences.last_lag, sums);
          AddCausal(in + kWidest, taps + kWidest, p, plan.sequences.last_lag, sums + kWidest);
        }
        reach.Writer(to, first + p, std::min(kResults, count - p), [&](const auto& write) {
          for (int64_t k = 0; k < std::min(kResults, count - p); ++k) {
            write(k, Complex::Load(sums + (p + k) * kEntry));
          }
        });
      }
    }
  }
};

void ForwardOrBack(const Map& map, float* kernel, Team::Helpers helpers) {
  const auto plan = FftPlan::Get(map.sequences(), map.from.batch, map.causal);
  const Spectra spectra(map, *plan);
  const Places places(map, *plan);
  const int64_t windows = spectra.windows();
  const Team team(helpers);
  const int64_t blocks = map.blocks(), examples = map.from.batch;
  const int64_t tasks = blocks * examples;
  const bool together = !plan->levels.empty() && Share::Pays(tasks, team.size(), places.task);
  const int64_t memories = together ? 1 : team.size(), own = blocks * spectra.size();
  const Scratch scratch(
      ScratchPool::Shared(),
      (own + memories * places.task + team.size() * places.end) * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
#pragma omp parallel num_threads(team.size())
  {
    const int64_t thread = omp_get_thread_num();
    float* memory = all + own + (together ? 0 : thread * places.task);
    float* work = all + own + memories * places.task + thread * places.end;
#pragma omp for schedule(dynamic) nowait
    for (int64_t i = 0; i < blocks * windows; ++i) {
      spectra.Fill(kernel, i / windows, i % windows, work + places.window,
                   all + i / windows * spectra.size());
    }
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < blocks; ++i) spectra.FillDirect(kernel, i, all + i * spectra.size());
    const auto compute = [&](int64_t block, int64_t example, Share share) {
      const float* of_block = all + block * spectra.size();
      Task{map, *plan, spectra, places, of_block, block, example, memory, work, share}.Compute();
    };
    for (int64_t i = 0; together && i < tasks; ++i) {
      compute(i / examples, i % examples, {thread, team.size()});
    }
    // One after another the channels of an example, which lie side by side.
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < (together ? 0 : tasks); ++i) compute(i % blocks, i / blocks, {});
  }
}

}  // namespace

void FftConvolve(Pass pass, const Convolution& p, const float* a, const float* b, float* out) {
  const Map map = Map::Of(pass, p, a, b, out);
  float* const kernel = pass == Pass::kKernelGradient ? out : const_cast<float*>(b);
  const bool gradient = pass == Pass::kKernelGradient;
  const auto run = map.dense() ? (gradient ? FftDenseKernelGradient : FftDense)
                               : (gradient ? FftKernelGradient : ForwardOrBack);
  run(map, kernel, Short(p) ? Team::Helpers::kNone : Team::Helpers::kAll);
}

}  // namespace cnnlab
