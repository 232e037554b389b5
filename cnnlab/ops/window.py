"""Windows: what slides over an array, in convolutions, pools, patches and receptive fields.

The one place where B eq. 10.7 is written down, generalised to dilation, uneven padding and any
number of spatial axes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TypeAlias, TypedDict

import numpy as np

from cnnlab.arguments import check_entries, shown, to_tuple

Ints: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
Pairs: TypeAlias = tuple[tuple[int, int], ...]


class Arguments(TypedDict):
    """A window but for its size, as the functions of this package take it."""

    stride: tuple[int, ...]
    padding: str | Pairs
    dilation: tuple[int, ...]


@dataclass(frozen=True)
class Window:
    """What slides over the spatial axes of an array, described by one entry an axis.

    Output `o` reads, through tap `t`, entry `o * stride + t * dilation` of the padded input.

    - `size`: number of taps.
    - `stride`: step from one output's window to the next one's.
    - `padding`: entries before and after the input, `(low, high)`; or `"SAME"`, `"VALID"` or
      `"CAUSAL"`, from which `at` makes such pairs for an input.
    - `dilation`: step from one tap to the next.

    `Window.of` makes one of what functions and layers are given, and checks it.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | Pairs
    dilation: tuple[int, ...]

    @classmethod
    def of(
        cls,
        rank: int,
        size: Ints,
        stride: Ints = 1,
        padding: Padding = "SAME",
        dilation: Ints = 1,
        *,
        name: str = "kernel_size",
    ) -> "Window":
        """A window over `rank` spatial axes.

        **Arguments:**

        - `size`, `stride`, `dilation`: one int for all axes, or one an axis.
        - `padding`: `"SAME"` (output size `ceil(n / stride)`; an odd total puts the extra entry at
          the end, as XLA does), `"VALID"` (none), `"CAUSAL"` (one spatial axis only: all of it
          before, so that an output sees no later input), an int for every side of every axis, or
          one entry an axis, each an int or a `(low, high)` pair.
        - `name`: of the argument that `size` comes from, for the message.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        return cls(
            to_tuple(name, size, rank),
            to_tuple("stride", stride, rank),
            _checked_padding(padding, rank),
            to_tuple("dilation", dilation, rank),
        )

    @classmethod
    def over(
        cls,
        ndim: int,
        size: Sequence[int],
        stride: Ints | None = 1,
        padding: Padding = "SAME",
        dilation: Ints = 1,
    ) -> "Window":
        """`of` an argument `window`, whose length says how many axes before the channels of an
        array with `ndim` axes are spatial. A stride of None is the window's size."""
        if not isinstance(size, Sequence) or isinstance(size, str) or not size:
            raise ValueError(
                f"window: expected one size per spatial axis, such as (2, 2), got {shown(size)}"
            )
        if ndim < len(size) + 1:
            raise ValueError(
                f"window: {len(size)} spatial axes and channels do not fit {ndim} array axes"
            )
        stride = size if stride is None else stride
        return cls.of(len(size), size, stride, padding, dilation, name="window")

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.size)

    @property
    def taps(self) -> int:
        """Number of entries that one output reads."""
        return math.prod(self.size)

    @property
    def extent(self) -> tuple[int, ...]:
        """Entries from the first to the last tap, with the holes: `(size - 1) * dilation + 1`."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.size, self.dilation, strict=True))

    @property
    def pads(self) -> Pairs:
        """The padding of a window `at` an input: one `(low, high)` pair an axis."""
        assert not isinstance(self.padding, str)
        return self.padding

    @property
    def arguments(self) -> Arguments:
        """All but the size, as the functions of this package take them."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}

    @property
    def without_padding(self) -> "Window":
        """The same window for an input that is padded already."""
        return replace(self, padding=((0, 0),) * self.rank)

    def spatial(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The spatial axes of a shape `(*batch, *spatial, c)`."""
        return tuple(shape[-self.rank - 1 : -1])

    def at(self, spatial: Sequence[int]) -> "Window":
        """The same over an input of this shape, its padding as `(low, high)` pairs."""
        spatial = to_tuple("spatial", tuple(spatial), self.rank)
        return replace(self, padding=self._pads(spatial))

    def _pads(self, spatial: tuple[int, ...]) -> Pairs:
        match self.padding:
            case "VALID":
                return ((0, 0),) * self.rank
            case "CAUSAL":
                return tuple((e - 1, 0) for e in self.extent)
            case "SAME":
                # The last of ceil(n / s) windows ends `total` entries behind the input.
                out = (-(-n // s) for n, s in zip(spatial, self.stride, strict=True))
                zipped = zip(out, self.stride, self.extent, spatial, strict=True)
                totals = (max((o - 1) * s + e - n, 0) for o, s, e, n in zipped)
                return tuple((t // 2, t - t // 2) for t in totals)
            case _:
                return self.pads

    def padded(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Spatial shape of an input with the padding around it."""
        pads = self.at(spatial).pads
        return tuple(n + low + high for n, (low, high) in zip(spatial, pads, strict=True))

    def output_shape(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """How many outputs there are along each axis of an input of this shape, B eq. 10.7 with
        dilation: `floor((n + low + high - (size - 1) * dilation - 1) / stride) + 1`.

        **Raises:** `ValueError`: the window is larger than the padded input.
        """
        padded = self.padded(spatial)
        for i, (n, e) in enumerate(zip(padded, self.extent, strict=True)):
            if e > n:
                low, high = self.at(spatial).pads[i]
                raise ValueError(
                    f"kernel_size[{i}]: a window of {e} does not fit a size of {spatial[i]} "
                    f"padded by {low} + {high}"
                )
        check_entries("padding", padded)
        zipped = zip(padded, self.extent, self.stride, strict=True)
        return tuple((n - e) // s + 1 for n, e, s in zipped)

    def reads(self, out: Sequence[int]) -> list[np.ndarray]:
        """For each axis, the entry of the padded input that output `o` reads through tap `t`:
        `(out, size)`."""
        zipped = zip(out, self.stride, self.size, self.dilation, strict=True)
        return [np.arange(o)[:, None] * s + np.arange(k) * d for o, s, k, d in zipped]

    def transpose_shape(self, out: Sequence[int]) -> tuple[int, ...]:
        """The input shape that a transposed convolution of a map of shape `out` has by default.

        `n * stride` for `"SAME"` and `"CAUSAL"`, which any input size divisible by the stride
        inverts. Otherwise the smallest size that `output_shape` takes to `out`:
        `(n - 1) * stride + (size - 1) * dilation + 1 - low - high`.

        **Raises:** `ValueError`: the padding leaves nothing.
        """
        out = to_tuple("spatial", tuple(out), self.rank)
        if self.padding in ("SAME", "CAUSAL"):
            shape = tuple(n * s for n, s in zip(out, self.stride, strict=True))
        else:
            pads = self._pads(out)
            zipped = zip(out, self.stride, self.extent, pads, strict=True)
            shape = tuple((n - 1) * s + e - low - high for n, s, e, (low, high) in zipped)
            for i, n in enumerate(shape):
                if n < 1:
                    raise ValueError(f"padding[{i}]: {pads[i]} leaves an output of size {n}")
        check_entries("stride", shape)
        return shape


def resolve_padding(
    padding: Padding,
    spatial: Sequence[int],
    kernel_size: Ints,
    stride: Ints = 1,
    dilation: Ints = 1,
) -> Pairs:
    """Padding as explicit `(low, high)` amounts, one pair per spatial axis.

    **Arguments:**

    - `padding`, `kernel_size`, `stride`, `dilation`: as `Window.of` takes them.
    - `spatial`: spatial shape of the input.

    **Raises:** `ValueError`, in one line that begins with the argument's name.
    """
    window = Window.of(len(spatial), kernel_size, stride, padding, dilation)
    return window.at(spatial).pads


def output_shape(
    spatial: Sequence[int],
    kernel_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
) -> tuple[int, ...]:
    """Spatial shape after a window has slid over `spatial`: `Window.output_shape`.

    **Raises:** `ValueError`: a bad argument, or a window larger than the padded input.
    """
    return Window.of(len(spatial), kernel_size, stride, padding, dilation).output_shape(spatial)


def transpose_shape(
    spatial: Sequence[int],
    kernel_size: Ints,
    *,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
) -> tuple[int, ...]:
    """Default spatial shape of a transposed convolution of a map of shape `spatial`:
    `Window.transpose_shape`.

    **Raises:** `ValueError`: a bad argument, or padding that leaves nothing.
    """
    return Window.of(len(spatial), kernel_size, stride, padding, dilation).transpose_shape(spatial)


def on_grid(table: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A table over (outputs, taps or inputs) of one axis, placed on the grid of all axes.

    Its two axes become axes `axis` and `rank + axis` of `2 * rank`; the others have size 1.
    """
    return np.expand_dims(table, [i for i in range(2 * rank) if i % rank != axis])


def _checked_padding(padding: Padding, rank: int) -> str | Pairs:
    """A name that is known, or one `(low, high)` pair an axis."""
    if isinstance(padding, str):
        if padding not in ("SAME", "VALID", "CAUSAL"):
            raise ValueError(
                "padding: expected 'SAME', 'VALID', 'CAUSAL', an int or one entry per axis, "
                f"got {shown(padding)}"
            )
        if padding == "CAUSAL" and rank != 1:
            raise ValueError(f"padding: 'CAUSAL' needs 1 spatial axis, got {rank}")
        return padding
    if isinstance(padding, Integral):
        return tuple((p, p) for p in to_tuple("padding", padding, rank, minimum=0))
    if not isinstance(padding, Sequence) or len(padding) != rank:
        raise ValueError(
            f"padding: expected an int or {rank} entries (an int or a (low, high) pair each), "
            f"got {shown(padding)}"
        )
    pairs = []
    for i, p in enumerate(padding):
        low, high = to_tuple(f"padding[{i}]", p, 2, minimum=0)
        pairs.append((low, high))
    return tuple(pairs)
