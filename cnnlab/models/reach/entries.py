"""What the entries of an array depend on, as linear functions of where they are."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Of an input axis with `extent` positions: those from `low` to `low + size - 1`, at most,
    where `low` is `start` plus what the entry's own position adds; borders do not clip."""

    extent: int
    start: int
    size: int


class Unknown(NamedTuple):
    """Positions that could not be followed through an operation."""

    operation: str


class Factor(NamedTuple):
    """A factor of the size of an axis; the next entry along it depends on input positions that lie
    `steps` further on, one number for each of the input axes that are followed."""

    size: int
    steps: tuple[int, ...]


Axis = tuple[Factor, ...]


class Reach(NamedTuple):
    """What each entry of an array depends on, in each of the input axes that are followed.

    An axis is a product of factors, because a reshape may have joined axes that lie along different
    axes of the input. In `spans`, None is no dependence.

    Of input axis `a`, the entry at digits `d_f` (one for each factor `f` of all axes, `0 <= d_f <
    size_f`) depends on the positions from `start_a + sum_f d_f * steps_f[a]` on, `size_a` of them.
    """

    axes: tuple[Axis, ...]
    spans: tuple[Span | Unknown | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return tuple(math.prod(factor.size for factor in axis) for axis in self.axes)

    @property
    def free(self) -> bool:
        """Whether the array depends on nothing that is followed."""
        return all(span is None for span in self.spans)

    def along(self, which: int) -> list[int]:
        """The steps in one of the input axes, of all factors."""
        return [factor.steps[which] for axis in self.axes for factor in axis]

    def whole(self, which: int) -> bool:
        """Whether every entry depends on all of one of the input axes."""
        span = self.spans[which]
        inside = isinstance(span, Span) and span.start <= 0 <= span.start + span.size - span.extent
        return inside and not any(self.along(which))

    def lost(self, shape: Sequence[int], operation: str) -> "Reach":
        """An array of this shape that depends on what this one does, nobody knows how."""
        spans = tuple(None if span is None else Unknown(operation) for span in self.spans)
        return Reach(tuple(self._plain(n) for n in shape), spans)

    def window(
        self,
        axis: int,
        out: int,
        *,
        size: int = 1,
        stride: int = 1,
        dilation: int = 1,
        low: int = 0,
    ) -> "Reach":
        """`out` windows along an axis with `low` places of padding before it; a slice is windows of
        size 1 and negative padding.

        Output `i` reads entries `i * stride - low + t * dilation` for taps `t < size`. Where the
        next entry lies `step` further on, its input positions begin at `i * stride * step`, plus
        `(t * dilation - low) * step` for its taps: so the step grows by `stride`, and the span
        covers what the first and the last tap add.
        """
        if (out, size, stride, low) == (self.shape[axis], 1, 1, 0):
            return self
        factors = self.axes[axis]
        if len(factors) > 1 and any(any(factor.steps) for factor in factors):
            return self.lost((*self.shape[:axis], out, *self.shape[axis + 1 :]), "a window")
        steps = factors[0].steps
        spans = [
            _moved(span, [step * -low, step * ((size - 1) * dilation - low)])
            for span, step in zip(self.spans, steps, strict=True)
        ]
        return self._with(axis, (Factor(out, tuple(stride * s for s in steps)),), spans)

    def reversed(self, axis: int) -> "Reach":
        """Back to front."""
        n = self.shape[axis]
        return self.window(axis, n, stride=-1, low=1 - n)

    def mixed(self, axis: int) -> "Reach":
        """Every entry along an axis depends on what all of them do: a span reaches from the entry
        that begins first to the one that begins last, which are ends of each factor."""
        ends = [[(f.size - 1) * step for step in f.steps] for f in self.axes[axis]]
        spans = [
            _moved(span, [sum(min(end, 0) for end in own), sum(max(end, 0) for end in own)])
            for span, own in zip(self.spans, zip(*ends, strict=True), strict=True)
        ]
        return self._with(axis, self._plain(self.shape[axis]), spans)

    def without(self, axes: Iterable[int]) -> "Reach":
        """Summed over some axes."""
        found, gone = self, set(axes)
        for axis in gone:
            found = found.mixed(axis)
        return found.permuted([i for i in range(len(self.axes)) if i not in gone])

    def permuted(self, order: Sequence[int]) -> "Reach":
        """With the axes in another order."""
        return self._replace(axes=tuple(self.axes[i] for i in order))

    def broadcast(self, shape: Sequence[int], places: Sequence[int]) -> "Reach":
        """Axis `i` becomes axis `places[i]` of `shape`, repeated where it has size 1."""
        axes = [self._plain(n) for n in shape]
        for axis, place in zip(self.axes, places, strict=True):
            if math.prod(factor.size for factor in axis) == shape[place]:
                axes[place] = axis
        return self._replace(axes=tuple(axes))

    def reshaped(self, shape: Sequence[int]) -> "Reach":
        """The same entries in row-major order under another shape."""
        factors = _refined(_merged(f for axis in self.axes for f in axis), shape)
        if factors is None:
            return self.lost(shape, "reshape")
        axes = []
        for n in shape:
            own: list[Factor] = []
            while math.prod(factor.size for factor in own) < n:
                own.append(factors.pop(0))
            axes.append(tuple(own) or self._plain(1))
        return self._replace(axes=tuple(axes))

    def _plain(self, n: int) -> Axis:
        return (Factor(n, (0,) * len(self.spans)),)

    def _with(self, axis: int, factors: Axis, spans: Iterable) -> "Reach":
        return Reach((*self.axes[:axis], factors, *self.axes[axis + 1 :]), tuple(spans))


def constant(shape: Sequence[int], count: int) -> Reach:
    """An array that depends on none of `count` input axes."""
    return Reach(tuple((Factor(n, (0,) * count),) for n in shape), (None,) * count)


def given(shape: Sequence[int], followed: Sequence[int]) -> Reach:
    """The input itself, some of whose axes are followed."""
    axes = [(Factor(n, tuple(int(i == a) for a in followed)),) for i, n in enumerate(shape)]
    return Reach(tuple(axes), tuple(Span(shape[a], 0, 1) for a in followed))


def joined(reaches: Sequence[Reach], operation: str) -> Reach:
    """Of what is computed entry by entry from several arrays of one shape."""
    reaches = [r for r in reaches if not r.free] or reaches[:1]
    found, *others = reaches
    for other in others:
        found = _joined(found, other, operation)
    return found


def _joined(a: Reach, b: Reach, operation: str) -> Reach:
    cuts = [
        (_refined(p, _sizes(q)), _refined(q, _sizes(p)))
        for p, q in zip(a.axes, b.axes, strict=True)
    ]
    fine = [(tuple(p), tuple(q)) for p, q in cuts if p is not None and q is not None]
    if len(fine) < len(cuts):
        spans = [g if f is None else f for f, g in zip(a.spans, b.spans, strict=True)]
        return a._replace(spans=tuple(spans)).lost(a.shape, operation)
    a, b = (r._replace(axes=tuple(cut[i] for cut in fine)) for i, r in enumerate((a, b)))
    spans, steps = zip(*(_hull(a, b, i, operation) for i in range(len(a.spans))), strict=True)
    columns = iter(zip(*steps, strict=True))
    return Reach(
        tuple(tuple(Factor(f.size, next(columns)) for f in axis) for axis in a.axes), spans
    )


def _hull(
    a: Reach, b: Reach, which: int, operation: str
) -> tuple[Span | Unknown | None, list[int]]:
    """All that either depends on, and what lies between; with the steps.

    Exact where both move in step with their entries: the span over both. Where one of them does
    not move and the other does, their union is no span that moves; the whole axis bounds it.
    """
    f, g, p, q = a.spans[which], b.spans[which], a.along(which), b.along(which)
    nothing = [0] * len(p)
    if f is None or b.whole(which):
        return g, q
    if g is None or a.whole(which):
        return f, p
    if isinstance(f, Unknown) or isinstance(g, Unknown):
        return (f if isinstance(f, Unknown) else g), nothing
    if p == q:
        low = min(f.start, g.start)
        return Span(f.extent, low, max(s.start + s.size for s in (f, g)) - low), p
    if any(p) and any(q):
        return Unknown(operation), nothing
    return Span(f.extent, 0, f.extent), nothing  # a part of the axis for all, and one's own


def _moved(span: Span | Unknown | None, offsets: Sequence[int]) -> Span | Unknown | None:
    """What lies at any of some offsets, and between them."""
    if not isinstance(span, Span):
        return span
    low = min(offsets)
    return Span(span.extent, span.start + low, span.size + max(offsets) - low)


def _sizes(axis: Axis) -> list[int]:
    return [factor.size for factor in axis]


def _merged(factors: Iterable[Factor]) -> list[Factor]:
    """With neighbours that go on in step with each other taken together; those of size 1 go.

    Digits `(d, e)` of factors of sizes `m`, `n` and steps `n * s`, `s` add `(d * n + e) * s`: one
    digit `d * n + e` of size `m * n` and step `s`.
    """
    found: list[Factor] = []
    for factor in factors:
        before = found[-1] if found else None
        if before and before.steps == tuple(factor.size * s for s in factor.steps):
            found[-1] = Factor(before.size * factor.size, factor.steps)
        elif factor.size != 1:
            found.append(factor)
    return found


def _refined(factors: Sequence[Factor], sizes: Sequence[int]) -> list[Factor] | None:
    """Split so that every one of `sizes`, whose product is the same, is a product of neighbours.

    From the last size to the first, each takes factors from the end: a whole one, or the fast part
    of one. A digit of size `m * part` and step `s` is one of size `m` and step `part * s` before
    one of size `part` and step `s`. None where sizes and factors do not divide each other.
    """
    rest, found = list(factors), []
    for size in reversed(sizes):
        while size > 1:
            if not rest:
                return None
            factor = rest.pop()
            part = min(size, factor.size)
            if size % part or factor.size % part:
                return None
            found.append(Factor(part, factor.steps))
            size //= part
            if factor.size > part:
                rest.append(Factor(factor.size // part, tuple(part * s for s in factor.steps)))
    return (found + rest[::-1])[::-1]
