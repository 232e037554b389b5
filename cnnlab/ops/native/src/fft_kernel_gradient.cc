#include "fft_kernel_gradient.h"

#include "scratch.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;
using Vec = L::Vec;

// The transpose of the forward pass: what that takes from the second half of a window's circular
// convolution lies there as input, and taps, of which it makes spectra, are made of spectra. With
// two examples as one complex number, conj(x1 + i x2) (dy1 + i dy2) has the sum of both as its real
// part. Odd frequencies have the other sign: of them the second half is the negative of the first.
struct Correlation {
  const Map& map;
  const Level& level;

  int64_t rows() const { return map.rows * level.inputs + map.columns * level.outputs; }
  int64_t sums() const {
    return std::max<int64_t>(level.windows(), 0) * map.rows * map.columns * 2;  // of h entries each
  }
  int64_t Place(int64_t window, int64_t row, int64_t column, int64_t parity) const {
    return (((window * map.rows + row) * map.columns + column) * 2 + parity) * level.h * kEntry;
  }

  void Load(const ChannelArray& from, int64_t block, int64_t pair, int64_t channel, int64_t first,
            float* z) const {
    const Lane lane = map.Side(block, from.per_group);
    for (int64_t p = first; p < first + level.h; ++p, z += kEntry) {
      L::Store(z, lane.Load(from.At(2 * pair, p), channel));
      L::Store(z + kWidest, lane.Load(from.At(2 * pair + 1, p), channel));
    }
  }

  // Adds a pair's part to the sums of a vector of groups. `z`: rows() rows.
  void Add(int64_t shift, int64_t block, int64_t pair, float* z, float* sums) const {
    const Level& l = level;
    float* const dy = z + map.rows * l.inputs * l.row();
    for (int64_t parity = 0; parity < 2; ++parity) {
      for (int64_t i = 0; i < map.rows * l.inputs; ++i) {
        float* to = z + i * l.row();
        Load(map.from, block, pair, i / l.inputs, i % l.inputs * l.h, to);
        if (parity == 1) l.fourier->Twist(to);
        l.fourier->Forward(to);
      }
      for (int64_t j = 0; j < map.columns * l.outputs; ++j) {
        float* to = dy + j * l.row();
        const int64_t first = (l.first_output + j % l.outputs) * l.h - shift;
        Load(map.to, block, pair, j / l.outputs, first, to);
        if (parity == 1) l.fourier->Twist(to);
        l.fourier->Forward(to);
      }
      for (int64_t f = 0; f < l.h; f += kChunk) {
        for (int64_t w = 0; w < l.windows(); ++w) {
          for (int64_t i = 0; i < map.rows * map.columns; ++i) {
            const int64_t row = i / map.columns, column = i % map.columns;
            AddChunk(l.first_window + w, z + row * l.inputs * l.row(),
                     dy + column * l.outputs * l.row(), f, sums + Place(w, row, column, parity));
          }
        }
      }
    }
  }

  static constexpr int64_t kChunk = 8;  // frequencies that are multiplied at a time

  void AddChunk(int64_t window, const float* x, const float* dy, int64_t f, float* sums) const {
    const Level& l = level;
    const int64_t begin = std::max(window, l.first_output);
    const int64_t end = std::min(window + l.inputs, l.first_output + l.outputs);
    for (int64_t k = f; k < std::min(f + kChunk, l.h); ++k) {
      Vec re = L::Load(sums + k * kEntry), im = L::Load(sums + k * kEntry + kWidest);
      for (int64_t j = begin; j < end; ++j) {
        const Complex a = Complex::Load(x + (j - window) * l.row() + k * kEntry);
        const Complex b = Complex::Load(dy + (j - l.first_output) * l.row() + k * kEntry);
        re += a.re * b.re + a.im * b.im;
        im += a.re * b.im - a.im * b.re;
      }
      Complex{re, im}.Store(sums + k * kEntry);
    }
  }

  // The taps of a vector of groups, from their sums.
  void Write(int64_t shift, int64_t block, float* sums, float* dk) const {
    const Level& l = level;
    for (int64_t i = 0; i < sums_of_all(); i += l.h * kEntry) l.fourier->Back(sums + i);
    const float scale = 0.5f / static_cast<float>(l.h);
    const Lane lane = map.Side(block, map.group_out);
    for (int64_t tap = 0; tap < map.taps; ++tap) {
      const int64_t lag = map.Lag(tap) + shift;
      for (int64_t i = 0; i < map.rows * map.columns; ++i) {
        const int64_t row = i / map.columns, column = i % map.columns;
        Vec v{};
        for (int64_t w = 0; w < l.windows(); ++w) {
          const int64_t u = lag - (l.first_window + w - 1) * l.h;
          if (u <= 0 || u >= 2 * l.h) continue;
          const int64_t k = u % l.h;
          const Vec even = L::Load(sums + Place(w, row, column, 0) + k * kEntry);
          const Complex odd = Complex::Load(sums + Place(w, row, column, 1) + k * kEntry);
          const float* t = l.fourier->twist() + 2 * k;
          const Vec turned = odd.re * t[0] + odd.im * t[1];
          v += u < l.h ? even - turned : even + turned;
        }
        lane.Store(map.Weight(dk, tap, row, column), 0, v * scale);
      }
    }
  }

  int64_t sums_of_all() const { return sums() * level.h * kEntry; }
};

}  // namespace

void FftKernelGradient(const Map& map, const float* dy, float* dk, Team::Helpers helpers) {
  Map to_dy = map;
  to_dy.to.data = const_cast<float*>(dy);
  const FftPlan plan = FftPlan::Whole(map.sequences(), map.pairs());
  const Correlation c{to_dy, plan.levels[0]};
  const Team team(helpers);
  const int64_t blocks = map.blocks(), pairs = map.pairs(), size = c.sums_of_all();
  // In so many parts all threads have as much to do.
  int64_t parts = 1;
  while (blocks * parts % team.size() != 0 && blocks * parts < 8 * team.size()) ++parts;
  parts = std::min(parts, pairs);
  const int64_t rows = c.rows() * plan.levels[0].row();
  const Scratch scratch(ScratchPool::Shared(),
                        (blocks * parts * size + team.size() * rows) * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
#pragma omp parallel num_threads(team.size())
  {
    float* z = all + blocks * parts * size + omp_get_thread_num() * rows;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < blocks * parts; ++i) {
      const int64_t part = i % parts;
      float* sums = all + i * size;
      std::fill_n(sums, size, 0.f);
      for (int64_t pair = pairs * part / parts; pair < pairs * (part + 1) / parts; ++pair) {
        c.Add(plan.shift, i / parts, pair, z, sums);
      }
    }
#pragma omp for schedule(static)
    for (int64_t i = 0; i < blocks; ++i) {
      float* sums = all + i * parts * size;
      for (int64_t part = 1; part < parts; ++part) {
        for (int64_t k = 0; k < size; ++k) sums[k] += sums[part * size + k];
      }
      c.Write(plan.shift, i, sums, dk);
    }
  }
}

}  // namespace cnnlab
