#include "fft_dense.h"

#include <omp.h>

#include <utility>

#include "complex_product.h"
#include "fft_cuts.h"
#include "fft_dense_direct.h"
#include "fft_lines.h"
#include "fft_reach.h"
#include "scratch.h"

namespace cnnlab {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Consecutive columns of a group's matrix, one a lane of a vector; two such vectors are real and
// imaginary part of a complex sequence.
struct Columns {
  int64_t group, first, lanes;
};
struct Pair {
  Columns parts[2];
};

std::vector<Pair> Pairs(const Map& map) {
  std::vector<Columns> all;
  for (int64_t group = 0; group < map.groups; ++group) {
    for (int64_t c = 0; c < map.columns; c += kWidest) {
      all.push_back({group, c, std::min<int64_t>(kWidest, map.columns - c)});
    }
  }
  if (all.size() % 2 == 1) all.push_back({map.groups - 1, map.columns, 0});
  std::vector<Pair> pairs;
  for (size_t i = 0; i < all.size(); i += 2) pairs.push_back({{all[i], all[i + 1]}});
  return pairs;
}

// The spectrum of the entries number `begin` to `end` of 2 h, which are at positions from
// `first + begin` on.
void Transform(const Fourier& fourier, const Strand& from, int64_t first, int64_t begin, int64_t end,
               float* const (&z)[2]) {
  const int64_t h = fourier.size();
  const auto run = [&](const auto& load) {
    const auto value = [&](int64_t t) { return t < begin || t >= end ? Complex{} : load(t); };
    fourier.Forward(
        [&](int64_t k, auto parity) {
          if (end <= h) return value(k);
          const Complex a = value(k), b = value(h + k);
          return parity == 0 ? a + b : a - b;
        },
        z[0], z[1]);
  };
  if (!from.Plain(first + begin, end - begin)) {
    return run([&](int64_t t) { return from.Load(first + t); });
  }
  const float* const data = from.data + first * from.stride;
  run([&](int64_t t) { return Complex::Load(data + t * from.stride); });
}

// One cut, forward or of the kernel's gradient. A row is one block of one example; of rows and pairs
// of vectors so many are computed at a time that their spectra are not much beyond the caches.
template <bool kGradient>
struct Product {
  const Map& map;
  const Cut& cut;
  const std::vector<Pair>& pairs;
  std::shared_ptr<const Fourier> fourier = Fourier::Get(cut.h);
  int64_t rows = map.from.batch * cut.count, vectors = CeilDiv(map.from.channels, kGroups);
  int64_t row_part, pair_part;  // at a time
  std::vector<int32_t> of_row, of_channel;  // where they are in a chunk of the inputs' spectra

  Product(const Map& m, const Cut& c, const std::vector<Pair>& p) : map(m), cut(c), pairs(p) {
    constexpr int64_t kKernel = int64_t{48} << 20, kRows = int64_t{16} << 20, kFewest = 8 * kMostRows;
    const int64_t line = Lines{fourier.get(), 0}.chunks() * kLine * static_cast<int64_t>(sizeof(float));
    const auto evenly = [](int64_t all, int64_t part) { return CeilDiv(all, CeilDiv(all, part)); };
    const auto number = static_cast<int64_t>(pairs.size());
    pair_part = evenly(number, std::clamp<int64_t>(kKernel / (map.rows * line), 1, number));
    row_part = evenly(rows, std::max(kFewest, kRows / ((vectors + pair_part) * line)));
    for (int64_t r = 0; r < row_part; ++r) of_row.push_back(static_cast<int32_t>(r * vectors * kLine));
    for (int64_t i = 0; i < map.from.channels; ++i) {
      const int64_t lane = i % kGroups, entry = lane / kWidest * kEntry + lane % kWidest;
      of_channel.push_back(static_cast<int32_t>(i / kGroups * kLine + entry));
    }
  }

  Lines inputs() const { return {fourier.get(), row_part * vectors}; }
  Lines results() const { return {fourier.get(), row_part * pair_part}; }
  Lines kernels() const { return {fourier.get(), map.rows * pair_part}; }
  int64_t size() const { return inputs().size() + results().size() + kernels().size(); }
  int64_t work() const { return 2 * cut.h * kEntry; }  // of a thread

  Strand Result(int64_t example, const Pair& p) const {
    const int64_t channel = p.parts[0].group * map.columns + p.parts[0].first;
    return map.to.Adjacent(example, channel, p.parts[0].lanes, p.parts[1].lanes);
  }
  Strand Taps(float* kernel, int64_t row, const Pair& p) const {
    const auto [a, b] = p.parts;
    const int64_t first = map.Weight(a.group, row, a.first);
    return {kernel + first, map.taps, map.group_in * map.out_channels, map.dilation, a.lanes, b.lanes,
            map.transposed ? map.out_channels : 1, map.Weight(b.group, row, b.first) - first};
  }

  // By all threads of a team, each with a `z` of its own.
  void Compute(float* kernel, const int32_t* found, float* all, float* z) const {
    float* const input = all;
    float* const result = input + inputs().size();
    float* const weights = result + results().size();
    float* const halves[] = {z, z + cut.h * kEntry};
    const float scale = 0.125f / static_cast<float>(cut.h);  // both parts twice, then 2 h times
    const auto number = static_cast<int64_t>(pairs.size());
    for (int64_t pair = 0; pair < number; pair += pair_part) {
      const int64_t present = std::min(pair_part, number - pair);
      if (!kGradient) {
#pragma omp for schedule(static)
        for (int64_t i = 0; i < present * map.rows; ++i) {
          const Strand taps = Taps(kernel, i % map.rows, pairs[pair + i / map.rows]);
          FillTaps(taps, halves);
          kernels().Keep({halves[0], halves[1]}, i, scale, weights);
        }
      }
      for (int64_t row = 0; row < rows; row += row_part) {
        const int64_t count = std::min(row_part, rows - row);
        if (pair == 0 || row_part < rows) {
#pragma omp for schedule(static)
          for (int64_t i = 0; i < count * vectors; ++i) {
            const int64_t r = row + i / vectors, channel = i % vectors * kGroups;
            const auto [real, imaginary] = Halves(map.from.channels - channel);
            const Strand from = map.from.Adjacent(r / cut.count, channel, real, imaginary);
            Transform(*fourier, from, cut.Input(r % cut.count), 0, cut.inputs, halves);
            inputs().Keep({halves[0], halves[1]}, i, 1, input);
          }
        }
        if (kGradient) {
#pragma omp for schedule(static)
          for (int64_t i = 0; i < present * count; ++i) {
            const int64_t r = row + i % count, behind = cut.behind();
            const Strand to = Result(r / cut.count, pairs[pair + i / count]);
            Transform(*fourier, to, cut.Result(r % cut.count) - behind, behind, 2 * cut.h, halves);
            results().Keep({halves[0], halves[1]}, i, scale, result);
          }
        }
#pragma omp for schedule(dynamic)
        for (int64_t chunk = 0; chunk < inputs().chunks(); ++chunk) {
          Multiply(chunk, &pairs[pair], present, count, row > 0, input, weights, result);
        }
        if (kGradient) continue;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < present * count; ++i) {
          results().Bring(result, i, halves);
          Write(row + i % count, pairs[pair + i / count], found, halves);
        }
      }
      if (!kGradient) continue;
#pragma omp for schedule(static)
      for (int64_t i = 0; i < present * map.rows; ++i) {
        kernels().Bring(weights, i, halves);
        WriteTaps(Taps(kernel, i % map.rows, pairs[pair + i / map.rows]), halves);
      }
    }
  }

  // Of a chunk's frequencies: rows times kernels are results, or the kernels' sums get rows times
  // results.
  void Multiply(int64_t chunk, const Pair* pair, int64_t present, int64_t count, bool add,
                const float* input, float* weights, float* result) const {
    const int64_t frequencies = inputs().Frequencies(chunk);
    input += chunk * inputs().pitch();
    weights += chunk * kernels().pitch();
    result += chunk * results().pitch();
    for (int64_t i = 0; i < present; ++i, ++pair) {
      for (int64_t k = 0; k < 2 * frequencies; ++k) {
        const int64_t place = k / 2 * Both::kSize + k % 2 * kEntry;
        float* const w = weights + i * map.rows * kLine + place;
        float* const y = result + i * count * kLine + place;
        const float* const x = input + k / 2 * Both::kSize;
        const int32_t* const channels = &of_channel[pair->parts[k % 2].group * map.rows];
        if (kGradient) {
          MultiplyComplex<true>(map.rows, {x, channels, of_row.data()}, count, y, w, kLine, add);
        } else {
          MultiplyComplex<false>(count, {x, of_row.data(), channels}, map.rows, w, y, kLine, false);
        }
      }
    }
  }

  void FillTaps(const Strand& taps, float* const (&z)[2]) const {
    const bool half = map.sequences().last_lag - cut.lag < cut.h;
    const auto value = [&](int64_t u) { return taps.Load(map.PositionOf(cut.lag + u)); };
    fourier->Forward(
        [&](int64_t k, auto parity) {
          if (half) return value(k);
          const Complex a = value(k), b = value(cut.h + k);
          return parity == 0 ? a + b : a - b;
        },
        z[0], z[1]);
  }

  void WriteTaps(const Strand& taps, float* const (&z)[2]) const {
    const auto write = [&](int64_t u, Complex v) {
      if (float* at = taps.At(map.PositionOf(cut.lag + u))) taps.Store(at, v);
    };
    fourier->Back(z[0], z[1], [&](int64_t k, Complex even, Complex odd) {
      write(k, even + odd);
      write(cut.h + k, even - odd);
    });
  }

  void Write(int64_t row, const Pair& pair, const int32_t* found, float* const (&z)[2]) const {
    const int64_t example = row / cut.count, h = cut.h, behind = cut.behind();
    const auto run = [&](const auto& write) {
      fourier->Back(z[0], z[1], [&](int64_t k, Complex even, Complex odd) {
        if (k >= behind) write(k - behind, even + odd);
        if (h + k >= behind) write(h + k - behind, even - odd);
      });
    };
    const Sequences s = map.sequences();
    const Reach reach = Reach::Of(s, found + example * Reach::Size(s.inputs));
    const Strand to = Result(example, pair);
    const int64_t first = cut.Result(row % cut.count);
    map.causal ? reach.Writer<true>(to, first, cut.results, run)
               : reach.Writer(to, first, cut.results, run);
  }
};

}  // namespace

void FftDense(const Map& map, float* kernel, Team::Helpers helpers) {
  const auto plan = Cuts::Get(map, map.causal);
  const auto pairs = Pairs(map);
  std::vector<Product<false>> products;
  int64_t most = 0, work = 0;
  for (const Cut& cut : plan->cuts) {
    const auto& product = products.emplace_back(map, cut, pairs);
    most = std::max(most, product.size());
    work = std::max(work, product.work());
  }
  const DenseDirect direct{map, plan->direct};
  most = std::max(most, direct.size());
  work = std::max(work, direct.work());
  const Team team(helpers);
  const int64_t length = map.from.length(), reach = map.from.batch * Reach::Size(length);
  const Scratch scratch(ScratchPool::Shared(), (reach + most + team.size() * work) * sizeof(float));
  auto* found = reinterpret_cast<int32_t*>(scratch.data());
  auto* all = reinterpret_cast<float*>(scratch.data()) + reach;
#pragma omp parallel num_threads(team.size())
  {
    float* z = all + most + omp_get_thread_num() * work;
#pragma omp for schedule(static)
    for (int64_t example = 0; example < map.from.batch; ++example) {
      const Strand channels = map.from.Adjacent(example, 0, 1, 0);
      Reach::Find(channels, map.from.channels, found + example * Reach::Size(length));
    }
    if (plan->direct > 0) direct.Compute(kernel, all, z);
    for (const auto& product : products) product.Compute(kernel, found, all, z);
  }
}

void FftDenseKernelGradient(const Map& map, float* dk, Team::Helpers helpers) {
  const auto plan = Cuts::Get(map, false);
  const auto pairs = Pairs(map);
  const Product<true> product(map, plan->cuts[0], pairs);
  const Team team(helpers);
  const int64_t size = product.size();
  const Scratch scratch(ScratchPool::Shared(), (size + team.size() * product.work()) * sizeof(float));
  auto* all = reinterpret_cast<float*>(scratch.data());
#pragma omp parallel num_threads(team.size())
  product.Compute(dk, nullptr, all, all + size + omp_get_thread_num() * product.work());
}

}  // namespace cnnlab
