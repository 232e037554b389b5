#include "fft_kernel_gradient.h"

#include "fft_share.h"
#include "fft_spectra.h"
#include "scratch.h"

namespace cnnlab {
namespace {

// The transpose of the forward pass: what that takes from the second half of a window's circular
// convolution lies there as input, and taps, of which it makes spectra, are made of spectra. Of odd
// frequencies the second half is the negative of the first, so that here halves change places.
struct Correlation {
  const Map& map;
  const Level& level;
  int64_t shift;

  WindowSpectra spectra() const { return {level, map.rows, map.columns}; }
  int64_t inputs() const { return map.rows * level.inputs; }
  int64_t rows() const { return inputs() + map.columns * level.outputs; }
  int64_t copies() const { return rows() * kChunk * Both::kSize; }
  int64_t memory() const { return 2 * rows() * level.row(); }  // both parities
  // Of a thread: a chunk of each row, then a window.
  int64_t work() const { return std::max(copies(), 2 * level.h * kEntry); }

  // Adds an example's part to the sums of a block of groups.
  void Add(int64_t block, int64_t example, Share share, float* z, float* work, float* sums) const {
    const Level& l = level;
    const int64_t half = rows() * l.row();
    const auto transform = [&](const Strand& from, int64_t first, int64_t row) {
      float* const even = z + row * l.row();
      from.Entries(first, l.h, [&](const auto& load) {
        l.fourier->Forward([&](int64_t k, auto) { return load(k); }, even, even + half);
      });
    };
    for (int64_t i = share.Begin(rows()); i < share.End(rows()); ++i) {
      const int64_t j = i - inputs();
      if (j < 0) {
        transform(map.From(example, block, i / l.inputs), i % l.inputs * l.h, i);
      } else {
        const int64_t first = (l.first_output + j % l.outputs) * l.h - shift;
        transform(map.To(example, block, j / l.outputs), first, i);
      }
    }
    share.Wait();
    for (int parity = 0; parity < 2; ++parity) {
      AddProducts(parity, share, z + parity * half, work, sums);
    }
    share.Wait();
  }

  void AddProducts(int parity, Share share, const float* z, float* copies, float* sums) const {
    const Level& l = level;
    const auto& mirrors = l.fourier->mirrors(parity);
    const auto size = static_cast<int64_t>(mirrors.size());
    constexpr int64_t kNext = kChunk * Both::kSize;
    const int64_t chunks = spectra().chunks(parity);
    for (int64_t chunk = share.Begin(chunks); chunk < share.End(chunks); ++chunk) {
      const int64_t f = chunk * kChunk;
      const int64_t count = std::min(kChunk, size - f);
      for (int64_t i = 0; i < rows(); ++i) {
        for (int64_t k = 0; k < count; ++k) {
          Both::Part(z + i * l.row(), mirrors[f + k], copies + i * kNext + k * Both::kSize);
        }
      }
      for (int64_t i = 0; i < map.rows * map.columns; ++i) {
        const int64_t row = i / map.columns, column = i % map.columns;
        const float* const x = copies + row * l.inputs * kNext;
        const float* const dy = copies + (inputs() + column * l.outputs) * kNext;
        float* to = sums + spectra().Place(parity, chunk, row, column, 0);
        for (int64_t d = l.first_window; d <= l.last_window; ++d, to += kNext) {
          const int64_t begin = std::max(d, l.first_output);
          const int64_t end = std::min(d + l.inputs, l.first_output + l.outputs);
          for (int64_t k = 0; k < kChunk * Both::kSize; k += 2 * Both::kSize) {
            AddTwo(x + (begin - d) * kNext + k, dy + (begin - l.first_output) * kNext + k,
                   end - begin, to + k);
          }
        }
      }
    }
  }

  // Of two frequencies the products of so many blocks, conj(x) dy.
  static void AddTwo(const float* x, const float* dy, int64_t count, float* to) {
    constexpr int64_t kNext = kChunk * Both::kSize;
    Complex sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = Complex::Load(to + i * kEntry);
    for (; count > 0; --count, x += kNext, dy += kNext) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const Complex a = Complex::Load(x + i * kEntry), b = Complex::Load(dy + i * kEntry);
        sum[i].re += a.re * b.re;
        sum[i].im += a.re * b.im;
        sum[i].re += a.im * b.im;
        sum[i].im -= a.im * b.re;
      }
    }
    for (int i = 0; i < 4; ++i) sum[i].Store(to + i * kEntry);
  }

  // Adds what a window gives to the taps, from its sums. Windows that are no neighbours have no tap
  // in common.
  void Write(int64_t block, int64_t window, const float* sums, float* z, float* dk) const {
    const Level& l = level;
    const float scale = 0.125f / static_cast<float>(l.h);
    const int64_t first = (l.first_window + window - 1) * l.h - shift;
    float* const parts[] = {z, z + l.h * kEntry};
    for (int64_t i = 0; i < map.rows * map.columns; ++i) {
      const int64_t row = i / map.columns, column = i % map.columns;
      for (int parity = 0; parity < 2; ++parity) {
        spectra().Each(parity, row, column, window, [&](int64_t place, Fourier::Mirror m) {
          Both::Join(Complex::Load(sums + place), Complex::Load(sums + place + kEntry), parts[parity], m);
        });
      }
      const Strand taps = map.Weights(dk, block, row, column);
      const auto add = [&](int64_t lag, Complex v) {
        const int64_t position = map.PositionOf(lag);
        if (float* at = taps.At(position)) taps.Store(at, taps.Load(position) + scale * v);
      };
      l.fourier->Back(parts[0], parts[1], [&](int64_t k, Complex even, Complex odd) {
        if (k > 0) add(first + k, even - odd);
        add(first + l.h + k, even + odd);
      });
    }
  }
};

}  // namespace

void FftKernelGradient(const Map& map, float* dk, Team::Helpers helpers) {
  const auto plan = FftPlan::Get(map.sequences(), map.from.batch, false);
  const Correlation c{map, plan->levels[0], plan->shift};
  const Team team(helpers);
  const int64_t blocks = map.blocks(), examples = map.from.batch, size = c.spectra().size();
  const bool together = Share::Pays(blocks * examples, team.size(), c.memory());
  // In so many parts of the batch all threads have as much to do.
  int64_t parts = 1;
  while (!together && blocks * parts % team.size() != 0 && blocks * parts < 8 * team.size()) ++parts;
  parts = std::clamp<int64_t>(examples, 1, parts);
  const int64_t memories = together ? 1 : team.size(), own = blocks * parts * size;
  const Scratch scratch(
      ScratchPool::Shared(),
      (own + memories * c.memory() + team.size() * c.work()) * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
  std::fill_n(dk, map.taps * map.group_in * map.out_channels, 0.f);
#pragma omp parallel num_threads(team.size())
  {
    const int64_t thread = omp_get_thread_num();
    float* z = all + own + (together ? 0 : thread * c.memory());
    float* work = all + own + memories * c.memory() + thread * c.work();
    const auto add = [&](int64_t i, Share share) {
      const int64_t part = i % parts;
      float* sums = all + i * size;
      std::fill(sums + share.Begin(size), sums + share.End(size), 0.f);
      share.Wait();
      for (int64_t e = examples * part / parts; e < examples * (part + 1) / parts; ++e) {
        c.Add(i / parts, e, share, z, work, sums);
      }
    };
    for (int64_t i = 0; together && i < blocks; ++i) add(i, {thread, team.size()});
#pragma omp for schedule(static)
    for (int64_t i = 0; i < (together ? 0 : blocks * parts); ++i) add(i, {});
    for (int64_t block = 0; parts > 1 && block < blocks; ++block) {
      float* sums = all + block * parts * size;
#pragma omp for schedule(static)
      for (int64_t k = 0; k < size; ++k) {
        for (int64_t part = 1; part < parts; ++part) sums[k] += sums[part * size + k];
      }
    }
    for (int64_t first = 0; first < 2; ++first) {
      const int64_t windows = (c.spectra().windows() + 1 - first) / 2;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < blocks * windows; ++i) {
        const int64_t block = i / windows;
        c.Write(block, first + 2 * (i % windows), all + block * parts * size, work, dk);
      }
    }
  }
}

}  // namespace cnnlab
