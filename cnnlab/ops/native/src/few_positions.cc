#include "few_positions.h"

#include <algorithm>

#include "panels.h"
#include "position_tiles.h"
#include "scratch.h"
#include "strided.h"

namespace cnnlab {
namespace {

using L = Lanes<kWidest>;

constexpr int64_t kMostPositions = 64;
constexpr int64_t kMostWindows = 16;  // where they are copied
constexpr int64_t kTerms = 512;  // of a panel at a time: 64 KB, which stay in a core's cache

// Positions of the input that a result meets, tap by tap: along an axis
// (result * step + tap * by + first) / apart, where that is a whole number within `size`.
struct Windows {
  int64_t count, images, channels;  // of results; of the input
  Three size, of, taps, step, by, first, apart;

  Windows(const Geometry& s, bool forward)
      : images(s.n),
        channels(forward ? s.c : s.o),
        size(forward ? s.x : s.y),
        of(forward ? s.y : s.x),
        taps(s.kernel),
        step(forward ? s.stride : Three{1, 1, 1}),
        apart(forward ? Three{1, 1, 1} : s.stride) {
    count = images * of[0] * of[1] * of[2];
    for (int axis = 0; axis < 3; ++axis) {
      by[axis] = forward ? s.dilation[axis] : -s.dilation[axis];
      first[axis] = forward ? -s.low[axis] : s.low[axis];
    }
  }

  int64_t all_taps() const { return taps[0] * taps[1] * taps[2]; }
  int64_t terms() const { return all_taps() * channels; }

  // Whether a result meets its own position alone.
  bool same() const {
    return all_taps() == 1 && size == of && first == Three{} && step == Three{1, 1, 1};
  }

  // Where the channels of what result `number` meets at a tap begin; -1: in the padding.
  int64_t At(int64_t number, int64_t tap) const {
    int64_t place = 0, stride = 1;
    for (int axis = 2; axis >= 0; --axis) {
      const int64_t at = number % of[axis] * step[axis] + tap % taps[axis] * by[axis] + first[axis];
      if (at < 0 || at % apart[axis] != 0 || at / apart[axis] >= size[axis]) return -1;
      place += at / apart[axis] * stride;
      stride *= size[axis];
      number /= of[axis];
      tap /= taps[axis];
    }
    return (place + number * stride) * channels;
  }

  // What result `number` meets, zeros in the padding: tap by tap, or channel by channel.
  void Copy(const float* x, int64_t number, bool taps_last, float* to) const {
    const int64_t all = all_taps();
    for (int64_t tap = 0; tap < all; ++tap) {
      const int64_t at = At(number, tap);
      if (taps_last) {
        for (int64_t i = 0; i < channels; ++i) to[i * all + tap] = at < 0 ? 0.f : x[at + i];
      } else if (at < 0) {
        std::fill_n(to + tap * channels, channels, 0.f);
      } else {
        std::copy_n(x + at, channels, to + tap * channels);
      }
    }
  }
};

// The matrix (terms, columns) of a product, of which a panel is read where it lies or copied.
struct Right {
  const float* data;
  int64_t columns;
  // Where (term, column) lies: terms in blocks of `block`, `of_block` apart; turned: the terms of a
  // block lie together and columns `pitch` apart, otherwise the other way round.
  bool turned;
  int64_t block, of_block, pitch;

  // Rows of a panel's columns, `width` of them; zeros up to `kPanel`.
  void Copy(int64_t column, int64_t width, int64_t term, int64_t terms, float* to) const {
    if (width < kPanel) std::fill_n(to, terms * kPanel, 0.f);
    for (const int64_t end = term + terms; term < end;) {
      const int64_t inside = term % block, count = std::min(block - inside, end - term);
      const float* from = data + term / block * of_block;
      if (turned) {
        CopyTurned(from + column * pitch + inside, width, pitch, count, to, kPanel);
      } else {
        from += inside * pitch + column;
        for (int64_t i = 0; i < count; ++i) std::copy_n(from + i * pitch, width, to + i * kPanel);
      }
      term += count;
      to += count * kPanel;
    }
  }
};

// c (rows, columns) = a (rows, terms) right (terms, columns), plus `bias`, one a column.
void Multiply(int64_t rows, const Factors& a, const Right& right, int64_t terms, const float* bias,
              float* c, const Pool& pool) {
  const int64_t panels = CeilDiv(right.columns, kPanel);
  // Many rows in parts that lie together; few panels are shared out by rows, too.
  const int64_t parts = rows > kMostPositions
                            ? CeilDiv(rows, 4 * kMostRows)
                            : std::clamp<int64_t>(8 / panels, 1, CeilDiv(rows, 8));
  const int64_t most = CeilDiv(rows, parts);
  const int64_t own = (kTerms + most) * kPanel;
  const Scratch scratch(ScratchPool::Shared(), pool.size() * own * sizeof(float));
  pool.ForEach(panels * parts, [&](int thread, int64_t task) {
    float* copy = reinterpret_cast<float*>(scratch.data()) + thread * own;
    const int64_t column = task % panels * kPanel, part = task / panels;
    const int64_t row = rows * part / parts, count = rows * (part + 1) / parts - row;
    const int64_t width = std::min(kPanel, right.columns - column);
    const bool whole = width == kPanel;
    float* to = whole ? c + row * right.columns + column : copy + kTerms * kPanel;
    const int64_t pitch = whole ? right.columns : kPanel;
    for (int64_t r = 0; bias != nullptr && r < count; ++r) {
      std::copy_n(bias + column, width, to + r * pitch);
    }
    for (int64_t term = 0; term < terms; term += kTerms) {
      const int64_t some = std::min(kTerms, terms - term);
      const Factors factors{a.data + row * a.row + term * a.column, a.row, a.column};
      const bool add = term > 0 || bias != nullptr;
      const bool once = count <= kMostRows && whole && !right.turned;
      if (!once) right.Copy(column, width, term, some, copy);
      Multiply(count, factors, once ? right.data + term * right.pitch + column : copy,
               once ? right.pitch : kPanel, some, to, pitch, add);
    }
    if (whole) return;
    for (int64_t r = 0; r < count; ++r) {
      std::copy_n(to + r * kPanel, width, c + (row + r) * right.columns + column);
    }
  });
}

}  // namespace

bool ServesFewPositions(Pass pass, const Convolution& p) {
  const auto& results = pass == Pass::kInputGradient ? p.x : p.y;
  const bool points = Size(p.kernel) == p.x.back() * p.y.back();
  return p.groups == 1 && p.dtype == dnnl::memory::data_type::f32 && p.rank() <= 3 &&
         p.activation != Activation::kGelu && !ServesStrided(pass, p) &&
         Size(results) / results.back() <= (points ? kMostPositions : kMostWindows);
}

void ConvolveFewPositions(Pass pass, const Convolution& p, const float* a, const float* b,
                          const float* bias, float* out, const Pool& all) {
  const Pool pool = HelpersFor(p) == Team::Helpers::kNone ? Pool(1, {}) : all;
  const Windows windows(Geometry(p), pass != Pass::kInputGradient);
  const int64_t rows = windows.count, terms = windows.terms(), taps = windows.all_taps();
  const int64_t in = p.x.back(), outs = p.y.back();
  const bool copied = !windows.same();
  const Scratch scratch(ScratchPool::Shared(), copied ? rows * terms * sizeof(float) : 0);
  const float* met = a;
  if (copied) {
    auto* copies = reinterpret_cast<float*>(scratch.data());
    pool.ForEach(rows, [&](int, int64_t row) {
      windows.Copy(a, row, p.outputs_first, copies + row * terms);
    });
    met = copies;
  }
  if (pass == Pass::kKernelGradient) {  // windows, turned, times dy; or dy, turned, times windows
    const Right dy{b, outs, false, rows, 0, outs}, right{met, terms, false, rows, 0, terms};
    p.outputs_first ? Multiply(outs, {b, 1, outs}, right, rows, nullptr, out, pool)
                    : Multiply(terms, {met, 1, terms}, dy, rows, nullptr, out, pool);
    return;
  }
  const Right kernel =
      pass == Pass::kForward ? Right{b, outs, p.outputs_first, terms, 0, p.outputs_first ? terms : outs}
      : !p.outputs_first     ? Right{b, in, true, outs, in * outs, outs}
      : taps == 1            ? Right{b, in, false, outs, 0, in}
                             : Right{b, in, true, taps, in * taps, taps};
  Multiply(rows, {met, terms, 1}, kernel, terms, bias, out, pool);
}

}  // namespace cnnlab
