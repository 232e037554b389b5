#include "fft_convolution.h"

#include <algorithm>

#include "fft_kernel_gradient.h"
#include "fft_map.h"
#include "fft_spectra.h"
#include "scratch.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;
using Vec = L::Vec;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Memory of one thread, in floats.
struct Work {
  float *z, *copies, *in, *out;
  int32_t* last[2];

  static int64_t Rows(const Map& m, const Level& l) {
    return std::max(m.rows * l.inputs, m.columns * l.outputs);
  }
  // Where the parts lie; the end.
  static std::array<int64_t, 6> Places(const Map& m, const FftPlan& plan) {
    int64_t outer = 0, inner = 0, copies = 0;
    for (const Level& l : plan.levels) {
      const int64_t rows = 2 * Rows(m, l) * l.row();
      // Behind the outer level's rows, which are still read.
      &l == &plan.levels[0] ? outer = rows : inner = std::max(inner, rows);
      copies = std::max(copies, m.rows * l.inputs * kChunk * kEntry);
    }
    const int64_t block = plan.levels.empty() ? plan.direct : plan.levels[0].h;
    const bool inside = plan.direct > 0;
    const int64_t lasts = CeilDiv(m.from.length(), 16) * 16;
    std::array<int64_t, 6> at{0};
    const int64_t sizes[] = {outer + inner, copies, inside * m.rows * block * kEntry,
                             inside * m.columns * block * kEntry, 2 * lasts};
    for (int i = 0; i < 5; ++i) at[i + 1] = at[i] + CeilDiv(sizes[i], 16) * 16;
    return at;
  }
  Work(const Map& m, const FftPlan& plan, float* data) {
    const auto at = Places(m, plan);
    z = data;
    copies = data + at[1];
    in = data + at[2];
    out = data + at[3];
    last[0] = reinterpret_cast<int32_t*>(data + at[4]);
    last[1] = last[0] + CeilDiv(m.from.length(), 16) * 16;
  }
};

// One pair of examples, one vector of groups.
struct Task {
  const Map& map;
  const FftPlan& plan;
  const Spectra& spectra;
  const float* kernel;  // its spectra
  int64_t block, pair;
  Work work;

  // The results of one level: `load(row, input block, z)` gives h entries, `sink(column, output
  // block, even, odd)` takes the two parts.
  template <typename Load, typename Sink>
  void Run(size_t level, Level l, float* z, Load load, Sink sink) const {
    const int64_t half = Work::Rows(map, l) * l.row();
    for (int64_t parity = 0; parity < 2; ++parity) {
      float* part = z + parity * half;
      for (int64_t i = 0; i < map.rows * l.inputs; ++i) {
        load(i / l.inputs, i % l.inputs, part + i * l.row());
        if (parity == 1) l.fourier->Twist(part + i * l.row());
        l.fourier->Forward(part + i * l.row());
      }
      Multiply(l, spectra, kernel + spectra.at[level], parity, part, work.copies);
      for (int64_t j = 0; j < map.columns * l.outputs; ++j) l.fourier->Back(part + j * l.row());
    }
    for (int64_t j = 0; j < map.columns * l.outputs; ++j) {
      sink(j / l.outputs, j % l.outputs, z + j * l.row(), z + half + j * l.row());
    }
  }

  void FindZeros() const {
    const Lane lane = map.Side(block, map.from.per_group);
    for (int e = 0; e < 2; ++e) {
      int32_t last = -1;
      for (int64_t p = 0; p < map.from.length(); ++p) {
        if (!lane.AllZero(map.from.At(2 * pair + e, p))) last = static_cast<int32_t>(p);
        work.last[e][p] = last;
      }
    }
  }

  void Load(int64_t row, int64_t first, int64_t count, float* z) const {
    const Lane lane = map.Side(block, map.from.per_group);
    for (int64_t p = first; p < first + count; ++p, z += kEntry) {
      L::Store(z, lane.Load(map.from.At(2 * pair, p), row));
      L::Store(z + kWidest, lane.Load(map.from.At(2 * pair + 1, p), row));
    }
  }

  // Whether an example's window of a result holds anything but zeros.
  bool Held(int e, int64_t position) const {
    const int64_t end = std::min(position - plan.sequences.first_lag, map.from.length() - 1);
    return end >= 0 && work.last[e][end] >= std::max<int64_t>(position - plan.sequences.last_lag, 0);
  }

  template <typename Value>
  void Write(int64_t column, int64_t first, int64_t count, Value value) const {
    const Lane lane = map.Side(block, map.to.per_group);
    for (int64_t p = std::max<int64_t>(first, 0); p < std::min(first + count, map.to.length());
         ++p) {
      float* at[2] = {map.to.At(2 * pair, p), map.to.At(2 * pair + 1, p)};
      if (at[0] == nullptr) continue;
      const auto [re, im] = value(p - first);
      lane.Store(at[0], column, Held(0, p) ? re : Vec{});
      if (at[1] != nullptr) lane.Store(at[1], column, Held(1, p) ? im : Vec{});
    }
  }

  // The second half of the 2 h entries: (even - conj(twist) odd) / 2 h.
  static auto Second(const Level& l, const float* even, const float* odd) {
    const float scale = 0.5f / static_cast<float>(l.h);
    const float* w = l.fourier->twist();
    return [=](int64_t k) {
      const float c = w[2 * k], s = w[2 * k + 1];
      const float *a = even + k * kEntry, *b = odd + k * kEntry;
      const Vec br = L::Load(b), bi = L::Load(b + kWidest);
      return Complex{(L::Load(a) - (br * c + bi * s)) * scale,
                                 (L::Load(a + kWidest) - (bi * c - br * s)) * scale};
    };
  }

  // Adds to `count` entries of `out`, a causal block's, what comes from inside of it.
  void Inside(int64_t count) const {
    int64_t whole = plan.levels.empty() ? plan.direct : plan.levels[0].h;
    const int64_t pitch = whole * kEntry;
    float* z = work.z;
    if (plan.levels.size() > 1) z += 2 * Work::Rows(map, plan.levels[0]) * plan.levels[0].row();
    for (size_t i = 1; i < plan.levels.size(); whole = plan.levels[i++].h) {
      const Level& level = plan.levels[i];
      if (level.windows() <= 0) continue;
      for (int64_t first = 0; first < count; first += whole) {
        Level l = level;
        const int64_t blocks = CeilDiv(std::min(whole, count - first), l.h);
        l.outputs = blocks - l.first_output;
        l.inputs = std::min(l.inputs, blocks - l.first_window);
        if (l.outputs <= 0 || l.inputs <= 0) continue;
        const auto load = [&](int64_t row, int64_t b, float* to) {
          std::copy_n(work.in + row * pitch + (first + b * l.h) * kEntry, l.h * kEntry, to);
        };
        const auto sink = [&](int64_t column, int64_t b, const float* even, const float* odd) {
          const int64_t at = first + (l.first_output + b) * l.h;
          float* to = work.out + column * pitch + at * kEntry;
          const auto value = Second(l, even, odd);
          for (int64_t k = 0; k < l.h; ++k, to += kEntry) {
            const auto [re, im] = value(k);
            L::Store(to, L::Load(to) + re);
            L::Store(to + kWidest, L::Load(to + kWidest) + im);
          }
        };
        Run(i, l, z, load, sink);
      }
    }
    const float* taps = kernel + spectra.at[plan.levels.size()];
    for (int64_t i = 0; i < map.rows * map.columns; ++i, taps += plan.direct * kWidest) {
      const float* in = work.in + i / map.columns * pitch;
      float* out = work.out + i % map.columns * pitch;
      for (int64_t first = 0; first < count; first += plan.direct) {
        Direct(in + first * kEntry, out + first * kEntry, std::min(plan.direct, count - first), taps);
      }
    }
  }

  // A piece, tap by tap, for some results at a time. (Of later lags than there are the taps are 0.)
  void Direct(const float* in, float* out, int64_t count, const float* taps) const {
    constexpr int64_t kResults = 4;
    int64_t p = 0;
    for (; p + kResults <= count; p += kResults) Sum<kResults>(in, out, p, taps);
    for (; p < count; ++p) Sum<1>(in, out, p, taps);
  }

  template <int kResults>
  void Sum(const float* in, float* out, int64_t p, const float* taps) const {
    Complex sum[kResults];
    for (int i = 0; i < kResults; ++i) sum[i] = Complex::Load(out + (p + i) * kEntry);
    int64_t n = std::max<int64_t>(0, p - plan.sequences.last_lag);
    const auto add = [&](int from) {
      const Complex x = Complex::Load(in + n * kEntry);
#pragma GCC unroll 4
      for (int i = from; i < kResults; ++i) {
        const Vec w = L::Load(taps + (p + i - n) * kWidest);
        sum[i].re += w * x.re;
        sum[i].im += w * x.im;
      }
    };
    for (; n <= p; ++n) add(0);
    for (; n < p + kResults; ++n) add(static_cast<int>(n - p));
    for (int i = 0; i < kResults; ++i) sum[i].Store(out + (p + i) * kEntry);
  }

  void Causal() const {
    const bool cut = !plan.levels.empty();
    const int64_t size = cut ? plan.levels[0].h : plan.direct, pitch = size * kEntry;
    const auto finish = [&](int64_t b) {
      for (int64_t row = 0; row < map.rows; ++row) {
        Load(row, b * size, size, work.in + row * pitch);
      }
      Inside(std::min(size, map.to.length() - b * size));
      for (int64_t column = 0; column < map.columns; ++column) {
        const float* from = work.out + column * pitch;
        Write(column, b * size, size, [&](int64_t k) {
          return Complex::Load(from + k * kEntry);
        });
      }
    };
    if (!cut) {
      std::fill_n(work.out, map.columns * pitch, 0.f);
      return finish(0);
    }
    const Level& l = plan.levels[0];
    const int64_t half = Work::Rows(map, l) * l.row();
    Run(0, l, work.z, [&](int64_t row, int64_t b, float* z) { Load(row, b * size, size, z); },
        [](int64_t, int64_t, const float*, const float*) {});
    for (int64_t b = 0; b < CeilDiv(map.to.length(), size); ++b) {
      for (int64_t column = 0; column < map.columns; ++column) {
        float* to = work.out + column * pitch;
        if (b < l.first_output) {
          std::fill_n(to, pitch, 0.f);
          continue;
        }
        const float* even = work.z + (column * l.outputs + b - l.first_output) * l.row();
        const auto value = Second(l, even, even + half);
        for (int64_t k = 0; k < size; ++k, to += kEntry) {
          value(k).Store(to);
        }
      }
      finish(b);
    }
  }

  void Compute() const {
    FindZeros();
    if (map.causal) return Causal();
    const Level& l = plan.levels[0];
    Run(0, l, work.z, [&](int64_t row, int64_t b, float* z) { Load(row, b * l.h, l.h, z); },
        [&](int64_t column, int64_t b, const float* even, const float* odd) {
          const int64_t first = (l.first_output + b) * l.h - plan.shift;
          Write(column, first, l.h, Second(l, even, odd));
        });
  }
};

void ForwardOrBack(const Map& map, const float* kernel, Team::Helpers helpers) {
  const Sequences s = map.sequences();
  const FftPlan plan = map.causal ? FftPlan::Causal(s) : FftPlan::Whole(s, map.pairs());
  const Spectra spectra(map, plan);
  const int64_t own = Work::Places(map, plan).back(), windows = spectra.windows();
  const Team team(helpers);
  const int64_t blocks = map.blocks(), tasks = blocks * map.pairs();
  const Scratch scratch(ScratchPool::Shared(),
                        (blocks * spectra.size() + team.size() * own) * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
#pragma omp parallel num_threads(team.size())
  {
#pragma omp for schedule(dynamic) nowait
    for (int64_t i = 0; i < blocks * windows; ++i) {
      spectra.Fill(kernel, i / windows, i % windows, all + i / windows * spectra.size());
    }
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < blocks; ++i) spectra.FillDirect(kernel, i, all + i * spectra.size());
    float* data = all + blocks * spectra.size() + omp_get_thread_num() * own;
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < tasks; ++i) {
      const int64_t block = i / map.pairs();
      Task{map, plan, spectra, all + block * spectra.size(), block, i % map.pairs(),
           Work(map, plan, data)}
          .Compute();
    }
  }
}

}  // namespace

void FftConvolve(Pass pass, const Convolution& p, const float* a, const float* b, float* out) {
  const Map map = Map::Of(pass, p, a, b, out);
  if (pass == Pass::kKernelGradient) return FftKernelGradient(map, b, out, HelpersFor(p));
  ForwardOrBack(map, b, HelpersFor(p));
}

}  // namespace cnnlab
