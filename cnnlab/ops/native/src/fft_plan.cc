#include "fft_plan.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "cache.h"
#include "fft_direct.h"

namespace cnnlab {
namespace {

int64_t Floor(int64_t a, int64_t b) { return a / b - (a % b < 0); }
int64_t Ceil(int64_t a, int64_t b) { return -Floor(-a, b); }

// About how many cycles an entry takes: in a pass of a transform by two, in a product with a window,
// with a tap.
constexpr double kPass = 2, kProduct = 2, kTap = 1.2;
// Passes over what no near cache holds take longer.
constexpr int64_t kNear = int64_t{1} << 12;

double OneTransform(int64_t h) {
  const double near = std::log2(std::min(h, kNear)) + 1;
  return 2 * static_cast<double>(h) * kPass * (near + 2 * std::log2(std::max(1., 1. * h / kNear)));
}

Level Cut(const Sequences& s, int64_t shift, int64_t h) {
  Level level;
  level.h = h;
  level.inputs = Ceil(s.inputs, h);
  level.first_output = Floor(shift, h);
  level.outputs = Floor(shift + s.outputs - 1, h) - level.first_output + 1;
  level.first_window = std::max(Floor(s.first_lag + shift, h), level.first_output - level.inputs + 1);
  level.last_window =
      std::min(Ceil(s.last_lag + shift, h), level.first_output + level.outputs - 1);
  return level;
}

double Cost(const Level& l, int64_t examples) {
  double products = 0;
  for (int64_t d = l.first_window; d <= l.last_window; ++d) {
    const int64_t begin = std::max<int64_t>(l.first_output - d, 0);
    const int64_t end = std::min(l.first_output + l.outputs - d, l.inputs);
    products += std::max<int64_t>(end - begin, 0);
  }
  const double rows = l.inputs + l.outputs + 1. * std::max<int64_t>(l.windows(), 0) / examples;
  return rows * OneTransform(l.h) + 2 * products * l.h * kProduct;
}

// Of a causal convolution of `length` entries: the best size of blocks inside, and what an entry
// takes. 0: summed tap by tap.
struct Best {
  int64_t h = 0;
  double cost = 0;
};

Best Inside(int64_t length, int64_t last_lag, std::map<int64_t, Best>* known) {
  if (auto at = known->find(length); at != known->end()) return at->second;
  constexpr int64_t kDirect = 128, kShortest = 16;
  Best best{0, kTap * std::min<double>(length / 2., last_lag + 1.)};
  if (length > kDirect) best.cost = HUGE_VAL;
  for (int64_t h = kShortest; h < length; h *= 2) {
    const double windows = std::min(length / h / 2., std::ceil(1. * last_lag / h));
    const double cost = 2 * OneTransform(h) / h + 2 * windows * kProduct +
                        Inside(h, last_lag, known).cost;
    if (cost < best.cost) best = {h, cost};
  }
  return (*known)[length] = best;
}

}  // namespace

void Level::Trim() {
  const int64_t end = first_output + outputs;
  inputs = std::clamp<int64_t>(end - first_window, 0, inputs);
  first_output = std::max(first_output, first_window);
  outputs = std::max<int64_t>(end - first_output, 0);
}

std::shared_ptr<const FftPlan> FftPlan::Get(const Sequences& s, int64_t examples, bool causal) {
  static auto* cache = new LruCache<FftPlan>;
  std::string key;
  for (const int64_t n : {s.inputs, s.outputs, s.first_lag, s.last_lag, examples, int64_t{causal}}) {
    key += std::to_string(n) + ' ';
  }
  return cache->Get(key, [&] { return causal ? Causal(s) : Whole(s, examples); });
}

FftPlan FftPlan::Whole(const Sequences& s, int64_t examples) {
  FftPlan plan{s, 0, {}, 0};
  double least = HUGE_VAL;
  const int64_t most = std::max({s.inputs, s.outputs, s.last_lag - s.first_lag + 1});
  Level best;
  const int64_t shortest = std::max<int64_t>({std::min<int64_t>(most, 16), most / 256, 2});
  for (int64_t h = shortest; h <= most + most / 4 + 2; ++h) {
    if (!Smooth(h)) {
      // From one size to the next that could be smooth, of long ones.
      const int64_t step = int64_t{1} << std::max(0, static_cast<int>(std::log2(h)) - 8);
      h = (h / step + 1) * step - 1;
      continue;
    }
    for (const int64_t shift : {int64_t{0}, -s.first_lag}) {
      const Level level = Cut(s, shift, h);
      const double cost = Cost(level, examples);
      if (cost < least) {
        least = cost;
        best = level;
        plan.shift = shift;
      }
    }
  }
  best.fourier = Fourier::Get(best.h);
  plan.levels.push_back(best);
  return plan;
}

FftPlan FftPlan::Causal(const Sequences& s) {
  FftPlan plan{s, 0, {}, 0};
  std::map<int64_t, Best> known;
  int64_t length = s.outputs;
  for (int64_t h; (h = Inside(length, s.last_lag, &known).h) > 0; length = h) {
    const Sequences inside{plan.levels.empty() ? s.inputs : length, length, s.first_lag, s.last_lag};
    Level level = Cut(inside, 0, h);
    level.first_window = std::max<int64_t>(level.first_window, 1);
    level.last_window = std::min(level.last_window, level.outputs - 1);
    level.Trim();
    level.fourier = Fourier::Get(h);
    plan.levels.push_back(level);
  }
  plan.direct = Ceil(length, kResults) * kResults;
  return plan;
}

}  // namespace cnnlab
