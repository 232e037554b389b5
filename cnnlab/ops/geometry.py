"""Window geometry: sizes, padding and output shapes of everything that slides a window.

The one place where B eq. 10.7 is written down, generalised to dilation, uneven padding and any
number of spatial axes.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import TypeAlias

import numpy as np

from cnnlab.ops.arguments import shown

Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]
Pairs: TypeAlias = tuple[tuple[int, int], ...]

MAX_RANK = 3
# Sizes that no machine holds are refused here: XLA ends the process where a shape overflows.
MAX_SIZE = 2**31 - 1  # of a stride, a padding, an axis
MAX_ENTRIES = 2**40  # of an array


def to_tuple(
    name: str, value: int | Sequence[int], rank: int, *, minimum: int = 1
) -> tuple[int, ...]:
    """`value` as one int per spatial axis: an int is repeated `rank` times.

    Raises:
        ValueError: not `rank` values, or one that is not an int from `minimum` to `MAX_SIZE`.
    """
    if isinstance(value, Integral):
        values = (value,) * rank
        labels = (name,) * rank
    elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == rank:
        values = tuple(value)
        labels = tuple(f"{name}[{i}]" for i in range(rank))
    else:
        raise ValueError(f"{name}: expected an int or {rank} of them, got {shown(value)}")
    for label, v in zip(labels, values, strict=True):
        if not isinstance(v, Integral) or isinstance(v, bool) or v < minimum:
            raise ValueError(f"{label}: expected an int >= {minimum}, got {shown(v)}")
        if v > MAX_SIZE:
            raise ValueError(f"{label}: expected an int of at most {MAX_SIZE:,}, got {v:,}")
    return tuple(int(v) for v in values)


def check_entries(name: str, shape: Sequence[int]) -> None:
    """Refuse what asks for an array that is too large for any machine.

    Raises:
        ValueError: in one line that begins with `name`, the argument it comes from.
    """
    sizes = [n for n in shape if isinstance(n, Integral)]  # not those that an export leaves open
    if max(sizes, default=0) > MAX_SIZE or math.prod(sizes) > MAX_ENTRIES:
        raise ValueError(
            f"{name}: asks for an array of shape {tuple(shape)}; an axis may have up to "
            f"{MAX_SIZE:,} entries, all together {MAX_ENTRIES:,}"
        )


def dilated_size(kernel_size: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """Extent of the window with its holes: `(k - 1) * d + 1` per axis."""
    return tuple((k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True))


def on_grid(table: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """A table over (outputs, taps or inputs) of one axis, placed on the grid of all axes.

    Its two axes become axes `axis` and `rank + axis` of `2 * rank`; the others have size 1.
    """
    return np.expand_dims(table, [i for i in range(2 * rank) if i % rank != axis])


def resolve_padding(
    padding: Padding,
    spatial: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
) -> Pairs:
    """Padding as explicit `(low, high)` amounts, one pair per spatial axis.

    Args:
        padding: `"SAME"` (output size `ceil(n / stride)`; an odd total puts the extra element at
            the end, as XLA does), `"VALID"` (none), `"CAUSAL"` (one spatial axis only: all of it
            before, so an output sees no later input), an int for every side of every axis, or one
            entry per axis, each an int or a `(low, high)` pair.
        spatial: spatial shape of the input.
        kernel_size, stride, dilation: one int, or one per axis.

    Raises:
        ValueError: in one line that begins with the argument's name.
    """
    rank = len(spatial)
    spatial = to_tuple("spatial", tuple(spatial), rank)
    kernel_size = to_tuple("kernel_size", kernel_size, rank)
    stride = to_tuple("stride", stride, rank)
    extent = dilated_size(kernel_size, to_tuple("dilation", dilation, rank))
    if isinstance(padding, str):
        if padding == "VALID":
            return ((0, 0),) * rank
        if padding == "SAME":
            out = (-(-n // s) for n, s in zip(spatial, stride, strict=True))
            zipped = zip(out, stride, extent, spatial, strict=True)
            totals = (max((o - 1) * s + e - n, 0) for o, s, e, n in zipped)
            return tuple((t // 2, t - t // 2) for t in totals)
        if padding == "CAUSAL":
            if rank != 1:
                raise ValueError(f"padding: 'CAUSAL' needs 1 spatial axis, got {rank}")
            return ((extent[0] - 1, 0),)
        raise ValueError(
            "padding: expected 'SAME', 'VALID', 'CAUSAL', an int or one entry per axis, "
            f"got {shown(padding)}"
        )
    return _explicit_padding(padding, rank)


def _explicit_padding(padding: int | Sequence[int | Sequence[int]], rank: int) -> Pairs:
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


def output_shape(
    spatial: Sequence[int],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
) -> tuple[int, ...]:
    """Spatial shape after a window has slid over `spatial`: B eq. 10.7 with dilation,

    `floor((n + low + high - (k - 1) * dilation - 1) / stride) + 1` per axis.

    Raises:
        ValueError: a bad argument, or a window larger than the padded input.
    """
    rank = len(spatial)
    pairs = resolve_padding(padding, spatial, kernel_size, stride, dilation)
    kernel_size = to_tuple("kernel_size", kernel_size, rank)
    strides = to_tuple("stride", stride, rank)
    extent = dilated_size(kernel_size, to_tuple("dilation", dilation, rank))
    out = []
    for i, (n, (low, high), e, s) in enumerate(zip(spatial, pairs, extent, strides, strict=True)):
        if e > n + low + high:
            raise ValueError(
                f"kernel_size[{i}]: a window of {e} does not fit a size of {n} "
                f"padded by {low} + {high}"
            )
        out.append((n + low + high - e) // s + 1)
    check_entries("padding", [n + sum(pair) for n, pair in zip(spatial, pairs, strict=True)])
    return tuple(out)


def transpose_shape(
    spatial: Sequence[int],
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
) -> tuple[int, ...]:
    """Default spatial shape of a transposed convolution of a map of shape `spatial`.

    `n * stride` for `"SAME"` and `"CAUSAL"`, which any input size divisible by the stride inverts.
    Otherwise the smallest size that `output_shape` takes to `spatial`:
    `(n - 1) * stride + (k - 1) * dilation + 1 - low - high`.

    Raises:
        ValueError: a bad argument, or padding that leaves nothing.
    """
    rank = len(spatial)
    pairs = resolve_padding(padding, spatial, kernel_size, stride, dilation)
    kernel_size = to_tuple("kernel_size", kernel_size, rank)
    strides = to_tuple("stride", stride, rank)
    if padding in ("SAME", "CAUSAL"):
        out = tuple(n * s for n, s in zip(spatial, strides, strict=True))
        check_entries("stride", out)
        return out
    extent = dilated_size(kernel_size, to_tuple("dilation", dilation, rank))
    zipped = zip(spatial, strides, extent, pairs, strict=True)
    out = tuple((n - 1) * s + e - low - high for n, s, e, (low, high) in zipped)
    for i, n in enumerate(out):
        if n < 1:
            raise ValueError(f"padding[{i}]: {pairs[i]} leaves an output of size {n}")
    check_entries("stride", out)
    return out
