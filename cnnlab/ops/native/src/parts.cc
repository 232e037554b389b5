#include "parts.h"

#include <algorithm>
#include <optional>

namespace cnnlab {
namespace {

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// The `i`-th of `count` equal shares.
Range Share(int64_t size, int64_t i, int64_t count) {
  return {size * i / count, size * (i + 1) / count};
}

int64_t CeilDiv(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

// Window o of the first spatial axis reads from `o * stride - low` on, `reach` rows.
struct Rows {
  int64_t x, y, stride, low, reach;

  explicit Rows(const Convolution& p)
      : x(p.x[1]), y(p.y[1]), stride(p.stride[0]), low(p.low[0]),
        reach((p.kernel[0] - 1) * p.dilation[0] + 1) {}

  // The rows that some windows read.
  Range Read(Range windows) const {
    return {std::max<int64_t>(windows.begin * stride - low, 0),
            std::min((windows.end - 1) * stride - low + reach, x)};
  }

  // The windows that read some rows.
  Range Reading(Range rows) const {
    return {std::max<int64_t>(CeilDiv(rows.begin + low - reach + 1, stride), 0),
            std::min((rows.end - 1 + low) / stride + 1, y)};
  }
};

// One example's part with these rows and windows.
std::optional<Part> OfRows(const Convolution& p, Range rows, Range windows) {
  const Rows all(p);
  const int64_t low = all.low + rows.begin - windows.begin * all.stride;
  const int64_t high = (windows.size() - 1) * all.stride + all.reach - rows.size() - low;
  // Rows that no window reads may be left over behind the last, fewer than a stride.
  if (rows.size() <= 0 || windows.size() <= 0 || low < 0 || high <= -all.stride) {
    return std::nullopt;
  }
  Part part{p, Size(p.x) / all.x * rows.begin, Size(p.y) / all.y * windows.begin};
  part.problem.x[1] = rows.size();
  part.problem.y[1] = windows.size();
  part.problem.low[0] = low;
  part.problem.high[0] = std::max<int64_t>(high, 0);
  return part;
}

// Whether reading all of the kernel takes longer than the copies that slices need.
bool Sliced(Pass pass, const Convolution& p) {
  constexpr int64_t kLarge = 1 << 17;  // numbers that are not read from a thread's own cache
  const int64_t kernel = Size(p.kernel), activations = Size(p.x) + Size(p.y);
  if (p.groups > 1) return false;
  if (pass == Pass::kKernelGradient) return kernel > activations / 4;  // parts: sums of kernels
  return kernel > kLarge && kernel > activations;
}

}  // namespace

std::vector<Part> PartsOf(Pass pass, const Convolution& p, int64_t count) {
  const int64_t examples = p.x[0];
  const bool depthwise = p.groups == p.x.back();
  if ((p.groups > 1 && !depthwise) || Sliced(pass, p)) return {};
  std::vector<Part> parts;
  if (examples > 1 || count == 1) {
    count = std::min(count, examples);
    for (int64_t i = 0; i < count; ++i) {
      const Range some = Share(examples, i, count);
      Part part{p, Size(p.x) / examples * some.begin, Size(p.y) / examples * some.begin};
      part.problem.x[0] = part.problem.y[0] = some.size();
      parts.push_back(std::move(part));
    }
    return parts;
  }
  const bool dilated_sequence = p.rank() == 1 && p.dilation[0] > 1;  // an image: `plan.cc`
  if (dilated_sequence) return {};
  const Rows all(p);
  const bool of_input = pass == Pass::kInputGradient;
  count = std::min(count, of_input ? all.x : all.y);
  for (int64_t i = 0; i < count; ++i) {
    const Range results = Share(of_input ? all.x : all.y, i, count);
    const Range read = of_input ? all.Reading(results) : all.Read(results);
    auto part = of_input ? OfRows(p, results, read) : OfRows(p, read, results);
    if (!part) return {};
    parts.push_back(std::move(*part));
  }
  return parts;
}

std::vector<Slice> SlicesOf(Pass pass, const Convolution& p, int64_t threads) {
  if (!Sliced(pass, p)) return {};
  constexpr int64_t kBlock = 64;  // channels: four vectors
  const bool of_input = pass == Pass::kInputGradient;
  const int64_t in = p.x.back(), out = p.y.back(), channels = of_input ? in : out;
  const int64_t taps = Size(p.kernel) / (in * out);
  const int64_t of_channel = p.outputs_first ? (of_input ? taps : in * taps) : of_input ? out : 1;
  const int64_t fair = CeilDiv(CeilDiv(channels, 4 * threads), kBlock) * kBlock;
  std::vector<Slice> slices;
  for (int64_t first = 0; first < channels; first += fair) {
    const int64_t count = std::min(fair, channels - first);
    Slice slice{p, first, first * of_channel};
    auto& part = slice.problem;
    part.within = p.kernel;
    (of_input ? part.x : part.y).back() = count;
    part.kernel[part.kernel.size() - (of_input ? 2 : 1)] = count;
    slices.push_back(std::move(slice));
  }
  return slices;
}

}  // namespace cnnlab
