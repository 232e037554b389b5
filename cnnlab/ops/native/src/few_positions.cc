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
constexpr int64_t kMostWindows = 16;            // where they are copied
constexpr int64_t kMostWork = int64_t{1} << 24;  // multiply-adds: some 0.1 ms of two threads
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

// Numbers of a panel's row, `width` of them.
void CopyRow(const float* from, int64_t width, float* to) {
  if (width < kPanel) {
    std::copy_n(from, width, to);
  } else {
    L::Store(to, L::Load(from));
    L::Store(to + kWidest, L::Load(from + kWidest));
  }
}

// The matrix (terms, columns) of a product, of which panels are read where they lie or copied.
struct Right {
  const float* data;
  int64_t columns;
  // Where (term, column) lies: terms in blocks of `block`, `of_block` apart; turned: the terms of a
  // block lie together and columns `pitch` apart, otherwise the other way round.
  bool turned;
  int64_t block, of_block, pitch;

  int64_t panels() const { return CeilDiv(columns, kPanel); }
  int64_t width(int64_t panel) const { return std::min(kPanel, columns - panel * kPanel); }

  // `count` panels, each (terms, kPanel); behind the last column there is anything.
  void Copy(int64_t panel, int64_t count, int64_t term, int64_t terms, float* to) const {
    const int64_t end = term + terms, of_panel = terms * kPanel;
    while (term < end) {
      const int64_t inside = term % block, some = std::min(block - inside, end - term);
      const float* from = data + term / block * of_block + inside * (turned ? 1 : pitch) +
                          panel * kPanel * (turned ? pitch : 1);
      for (int64_t p = 0; turned && p < count; ++p) {
        CopyTurned(from + p * kPanel * pitch, width(panel + p), pitch, some, to + p * of_panel,
                   kPanel);
      }
      for (int64_t i = 0; !turned && i < some; ++i) {  // all of a row: its parts lie together
        for (int64_t p = 0; p < count; ++p) {
          CopyRow(from + i * pitch + p * kPanel, width(panel + p), to + p * of_panel + i * kPanel);
        }
      }
      term += some;
      to += some * kPanel;
    }
  }
};

// c (rows, columns) = a (rows, terms) right (terms, columns), plus `bias`, one a column.
struct Sum {
  int64_t rows;
  Factors a;
  Right right;
  int64_t terms;
  const float* bias;
  float* c;

  // Rows `row` to `row + count - 1` of `wide` panels; `copy` holds kTerms rows of a panel, `rest`
  // what of the last panel has no place in c.
  void Part(int64_t row, int64_t count, int64_t panel, int64_t wide, float* copy,
            float* rest) const {
    const int64_t most = kTerms / wide, panels = std::min(wide, right.panels() - panel);
    const bool lies = wide == 1 && count <= kMostRows && !right.turned;
    for (int64_t term = 0; term < terms; term += most) {
      const int64_t some = std::min(most, terms - term);
      const Factors factors{a.data + row * a.row + term * a.column, a.row, a.column};
      const bool there = lies && right.width(panel) == kPanel;
      if (!there) right.Copy(panel, panels, term, some, copy);
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t column = (panel + p) * kPanel, width = right.width(panel + p);
        const bool whole = width == kPanel;
        float* to = whole ? c + row * right.columns + column : rest;
        const int64_t pitch = whole ? right.columns : kPanel;
        for (int64_t r = 0; bias != nullptr && term == 0 && r < count; ++r) {
          std::copy_n(bias + column, width, to + r * pitch);
        }
        const float* b = there ? right.data + term * right.pitch + column
                               : copy + p * some * kPanel;
        Multiply(count, factors, b, there ? right.pitch : kPanel, some, to, pitch,
                 term > 0 || bias != nullptr);
      }
    }
    const int64_t last = right.panels() - 1, width = right.width(last);
    if (panel + panels <= last || width == kPanel) return;
    for (int64_t r = 0; r < count; ++r) {
      std::copy_n(rest + r * kPanel, width, c + (row + r) * right.columns + last * kPanel);
    }
  }

  void Compute(const Pool& pool) const {
    // Of many panels a task takes some that lie together; few are shared out by rows, too.
    const int64_t wide = std::clamp<int64_t>(right.panels() / 8, 1, 4);
    const int64_t tasks = CeilDiv(right.panels(), wide);
    const int64_t parts = rows > kMostPositions
                              ? CeilDiv(rows, 4 * kMostRows)
                              : std::clamp<int64_t>(8 / tasks, 1, CeilDiv(rows, 8));
    const int64_t copy = kTerms * kPanel, own = copy + CeilDiv(rows, parts) * kPanel;
    const Scratch scratch(ScratchPool::Shared(), pool.size() * own * sizeof(float));
    pool.ForEach(tasks * parts, [&](int thread, int64_t task) {
      float* place = reinterpret_cast<float*>(scratch.data()) + thread * own;
      const int64_t part = task / tasks, row = rows * part / parts;
      const int64_t count = rows * (part + 1) / parts - row;
      Part(row, count, task % tasks * wide, wide, place, place + copy);
    });
  }
};

}  // namespace

bool ServesFewPositions(Pass pass, const Convolution& p) {
  const auto& results = pass == Pass::kInputGradient ? p.x : p.y;
  const bool points = Size(p.kernel) == p.x.back() * p.y.back();
  const int64_t positions = Size(results) / results.back();
  return p.groups == 1 && p.dtype == dnnl::memory::data_type::f32 && p.rank() <= 3 &&
         p.activation != Activation::kGelu && !ServesStrided(pass, p) &&
         positions <= (points ? kMostPositions : kMostWindows) &&
         positions * Size(p.kernel) <= kMostWork;
}

void ConvolveFewPositions(Pass pass, const Convolution& p, const float* a, const float* b,
                          const float* bias, float* out, const Pool& pool) {
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
    const Sum sum = p.outputs_first ? Sum{outs, {b, 1, outs}, right, rows, nullptr, out}
                                    : Sum{terms, {met, 1, terms}, dy, rows, nullptr, out};
    return sum.Compute(pool);
  }
  const bool forward = pass == Pass::kForward, first = p.outputs_first;
  const Right kernel = forward     ? Right{b, outs, first, terms, 0, first ? terms : outs}
                       : !first    ? Right{b, in, true, outs, in * outs, outs}
                       : taps == 1 ? Right{b, in, false, outs, 0, in}
                                   : Right{b, in, true, taps, in * taps, taps};
  Sum{rows, {met, terms, 1}, kernel, terms, bias, out}.Compute(pool);
}

}  // namespace cnnlab
