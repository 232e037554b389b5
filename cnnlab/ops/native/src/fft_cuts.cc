#include "fft_cuts.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "cache.h"
#include "panels.h"

namespace cnnlab {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Even lengths of the factors 2, 3 and 5, from `least` to beyond `most`.
std::vector<int64_t> Lengths(int64_t least, int64_t most) {
  std::vector<int64_t> lengths;
  for (const int64_t odd : {1, 3, 5, 9, 15, 25, 45}) {
    for (int64_t h = 2 * odd; h <= 2 * most; h *= 2) {
      if (h >= least) lengths.push_back(h);
    }
  }
  std::sort(lengths.begin(), lengths.end());
  return lengths;
}

// What takes how many cycles.
struct Costs {
  int64_t batch, rows, groups, columns;  // as of a Map

  double Direct(int64_t outputs, int64_t direct) const {
    constexpr double kProduct = 0.6;  // of a vector
    const double panels = CeilDiv(columns, kPanel) * 2;
    return batch * outputs * (direct / 2. + kMostRows / 2) * rows * groups * panels * kProduct;
  }
  double Of(const Cut& c) const {
    constexpr double kPass = 4, kMore = 20, kProduct = 2.4;  // of two vectors
    const double blocks = 1. * batch * c.count, vectors = 1. * groups * VectorsOf(columns);
    const double lines = blocks * (CeilDiv(rows * groups, kGroups) + vectors / 2) + rows * vectors / 2;
    return c.h * (lines * (kPass * std::log2(1. * c.h) + kMore) + blocks * rows * vectors * kProduct);
  }
};

Cuts Whole(const Sequences& s, const Costs& costs) {
  const int64_t extent = s.last_lag - s.first_lag + 1;
  double least = HUGE_VAL;
  Cut best{};
  for (const int64_t h : Lengths(CeilDiv(extent, 2), CeilDiv(s.outputs + extent, 2))) {
    const int64_t results = 2 * h - extent + 1;
    const Cut cut{h, results, 2 * h, 0, results, CeilDiv(s.outputs, results), s.first_lag};
    if (const double cost = costs.Of(cut); cost < least) least = cost, best = cut;
  }
  return {0, {best}};
}

Cuts Causal(const Sequences& s, const Costs& costs) {
  Cuts best;
  double least = HUGE_VAL;
  const auto count = [&](Cut cut) {
    cut.count = std::max<int64_t>(CeilDiv(s.outputs - cut.first, cut.step), 0);
    return cut;
  };
  for (int64_t direct = 2 * kMostRows; direct <= 32 * kMostRows; direct *= 2) {
    Cuts cuts{direct, {}};
    double cost = costs.Direct(s.outputs, direct);
    for (int64_t size = direct;; size *= 2) {  // of the longest pieces
      double whole = cost;
      Cuts now = cuts;
      if (s.outputs > size && s.last_lag > 0) {
        const int64_t h = Lengths(CeilDiv(size + s.last_lag, 2), size + s.last_lag).front();
        now.cuts.push_back(count({h, size, 2 * h - size, size, size, 0, 0}));
        whole += costs.Of(now.cuts.back());
      }
      if (whole < least) least = whole, best = now;
      if (s.outputs <= size || size > s.last_lag) break;
      cuts.cuts.push_back(count({size, size, size, size, 2 * size, 0, 0}));
      cost += costs.Of(cuts.cuts.back());
    }
  }
  return best;
}

}  // namespace

std::shared_ptr<const Cuts> Cuts::Get(const Map& map, bool causal) {
  static auto* cache = new LruCache<Cuts>;
  const Sequences s = map.sequences();
  const Costs costs{map.from.batch, map.rows, map.groups, map.columns};
  std::string key;
  for (const int64_t n : {s.inputs, s.outputs, s.first_lag, s.last_lag, costs.batch, costs.rows,
                          costs.groups, costs.columns, int64_t{causal}}) {
    key += std::to_string(n) + ' ';
  }
  return cache->Get(key, [&] { return causal ? Causal(s, costs) : Whole(s, costs); });
}

}  // namespace cnnlab
