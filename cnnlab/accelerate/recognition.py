"""Which convolution one of JAX's is: a pass of one of cnnlab's problems.

JAX writes derivatives and batches of a convolution as convolutions with other arguments:

    forward            the input is not dilated              x and the kernel
    input's gradient   stride 1, the input dilated by the    dy and the kernel turned around, its
                       stride                                channels exchanged
    kernel's gradient  the kernel dilated by the stride,     x and dy, examples and channels
                       steps of the dilation, groups of      exchanged
                       the batch
    the same of a      the input dilated by the stride       its dy and its x
    transposed one

Code for forward passes is slow at the others. Where arguments fit several, as with stride 1, the
layout says which it was: JAX's derivatives leave arrays as they are and rename their axes, so that
in a kernel's gradient channels come before examples. The other reading is right too, only slower.

Nothing here computes: shapes and parameters in, a `Reading` out, or the reason why there is none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray

from cnnlab.accelerate.reading import Reading
from cnnlab.ops.problem import MAX_RANK, Pass, Problem
from cnnlab.ops.window import Window

_FLOATS = [np.dtype(d) for d in (np.float16, jnp.bfloat16, np.float32, np.float64)]
# A pass, and whether of a kernel's gradient the first operand is `dy`.
_Kind: TypeAlias = tuple[Pass, bool]


def recognise(lhs: ShapedArray, rhs: ShapedArray, **parameters: Any) -> Reading | str:
    """What a `conv_general_dilated` is.

    **Arguments:** the types of its operands, and the parameters of JAX's primitive.

    **Returns:** a `Reading`, or why it is none of cnnlab's.
    """
    wide = parameters["preferred_element_type"]
    dtype = np.dtype(lhs.dtype if wide is None else wide)
    if lhs.dtype == rhs.dtype and lhs.dtype.kind == "c":
        return "it is complex, and JAX makes three real ones of it"
    if lhs.dtype != rhs.dtype or lhs.dtype not in _FLOATS or dtype not in _FLOATS:
        return f"it takes {lhs.dtype} and {rhs.dtype} to {dtype}, not floats of one type"
    rank = len(lhs.shape) - 2
    if not 1 <= rank <= MAX_RANK:
        return f"it has {rank} spatial axes, not 1 to {MAX_RANK}"
    names: lax.ConvDimensionNumbers = parameters["dimension_numbers"]
    axes = _axes(lhs.shape, rhs.shape, names, parameters)
    features, batches = parameters["feature_group_count"], parameters["batch_group_count"]
    numbers = (*lhs.shape, *rhs.shape, features, batches, *(n for axis in axes for n in axis))
    if not all(isinstance(n, int | np.integer) for n in numbers):
        return "a size is left open"
    if 0 in (*lhs.shape, *rhs.shape) or any(axis.out < 1 for axis in axes):
        return "an array is empty"
    which, exchanged = kind = _kind(axes, names, batches)
    parts = [_PARTS[kind](axis) for axis in axes]
    if any(part.n < 1 for part in parts):
        return "it reads nothing of its input"
    of_kernel = which == "kernel_gradient"
    members, groups = (features, batches) if of_kernel else (1, features)
    n, c, o, i = (int(v) for v in (*_pick(lhs.shape, names[0]), *_pick(rhs.shape, names[1])))
    batch, in_channels, out_channels = {
        ("forward", False): (n, c, o),
        ("input_gradient", False): (n, o, c),
        ("kernel_gradient", False): (i, n, o // members),
        ("kernel_gradient", True): (i, o // members, n),
    }[kind]
    sizes, taps, strides, dilations, pads, outs, edges = zip(*parts, strict=True)
    problem = Problem(
        batch=batch,
        spatial=sizes,
        in_channels=in_channels,
        out_channels=out_channels,
        window=Window(taps, strides, pads, dilations),
        groups=int(groups),
        out=outs,
        dtype=dtype,
    )
    if which == "input_gradient":  # what no window reads has no gradient
        edges = tuple((-front, -back, 0) for front, back, _ in edges)
    lhs_axes, rhs_axes, out_axes = _orders(names, of_kernel)
    return Reading(
        which=which,
        problem=problem,
        members=int(members),
        lhs=lhs_axes,
        rhs=rhs_axes,
        out=tuple(int(at) for at in np.argsort(out_axes)),
        exchanged=exchanged,
        edges=((0, 0, 0), *edges, (0, 0, 0)),
        direct=_exact(parameters["precision"]),
    )


def _pick(shape: Sequence[int], names: Sequence[int]) -> tuple[int, int]:
    """Sizes of the two axes that are not spatial."""
    return shape[names[0]], shape[names[1]]


def _orders(names: lax.ConvDimensionNumbers, of_kernel: bool) -> tuple[tuple[int, ...], ...]:
    """JAX's axes of both operands and the result, in cnnlab's order."""
    (n, c, *at), (o, i, *kernel_at), (out_n, out_c, *out_at) = names
    if of_kernel:
        return (c, *at, n), (i, *kernel_at, o), (*out_at, out_n, out_c)
    return (n, *at, c), (*kernel_at, i, o), (out_n, *out_at, out_c)


def _exact(precision: Any) -> bool:
    return lax.Precision.HIGHEST in (precision if isinstance(precision, tuple) else (precision,))


class _Axis(NamedTuple):
    """A spatial axis of a convolution of JAX's."""

    n: int
    taps: int
    stride: int
    low: int
    high: int
    spread: int  # dilation of the input
    dilation: int

    @property
    def whole(self) -> int:
        """Size of the dilated input."""
        return (self.n - 1) * self.spread + 1

    @property
    def reach(self) -> int:
        """From the first tap to the last."""
        return (self.taps - 1) * self.dilation

    @property
    def out(self) -> int:
        return (self.whole + self.low + self.high - self.reach - 1) // self.stride + 1


def _axes(
    lhs: Sequence[int],
    rhs: Sequence[int],
    names: lax.ConvDimensionNumbers,
    parameters: Mapping[str, Any],
) -> list[_Axis]:
    low, high = zip(*parameters["padding"], strict=True)
    columns = (
        [lhs[at] for at in names.lhs_spec[2:]],
        [rhs[at] for at in names.rhs_spec[2:]],
        parameters["window_strides"],
        low,
        high,
        parameters["lhs_dilation"],
        parameters["rhs_dilation"],
    )
    return [_Axis(*numbers) for numbers in zip(*columns, strict=True)]


def _kind(axes: list[_Axis], names: lax.ConvDimensionNumbers, batch_groups: int) -> _Kind:
    (n, c, *_), (o, i, *kernel_at), (out_n, out_c, *_) = names
    plain = all(axis.spread == 1 for axis in axes)
    # Neighbours are the two axes of a kernel's channels, too.
    if batch_groups > 1 or (c < n and abs(out_n - out_c) == 1):
        return "kernel_gradient", not plain and all(axis.dilation == 1 for axis in axes)
    if any(axis.stride > 1 for axis in axes):
        return "forward", False
    # A kernel as it is has its inputs first where channels are last, else its outputs.
    turned = (o < i) == (min(kernel_at) < min(o, i))
    return ("forward" if plain and not turned else "input_gradient"), False


class _Part(NamedTuple):
    """A spatial axis of a problem; what becomes of the entries of its `x`, as in `Reading`."""

    n: int
    taps: int
    stride: int
    dilation: int
    pads: tuple[int, int]
    out: int
    edge: tuple[int, int, int]


def _part(
    n: int,
    taps: int,
    stride: int,
    dilation: int,
    low: int,
    out: int,
    high: int = 0,
    between: int = 0,
) -> _Part:
    """An axis without negative padding: what no window reads is taken away, but for the few entries
    at the end that a stride may leave over."""
    front, low = max(0, -low), max(0, low)
    n -= front
    missing = (out - 1) * stride + (taps - 1) * dilation + 1 - low - n
    back = -missing if -missing >= stride else 0
    pads = (low, max(0, high, missing))
    return _Part(n - back, taps, stride, dilation, pads, out, (-front, -back, between))


def _forward(a: _Axis) -> _Part:
    return _part(a.whole, a.taps, a.stride, a.dilation, a.low, a.out, a.high, a.spread - 1)


def _input_gradient(a: _Axis) -> _Part:
    """`x` has the result's size."""
    return _part(a.out, a.taps, a.spread, a.dilation, a.reach - a.low, a.n)


def _kernel_gradient(a: _Axis) -> _Part:
    """The kernel has the result's size, and `dy` that of JAX's kernel."""
    return _part(a.whole, a.out, a.dilation, a.stride, a.low, a.taps, between=a.spread - 1)


def _of_transposed(a: _Axis) -> _Part:
    """The kernel has the result's size and is turned around, `x` has that of JAX's kernel."""
    return _part(a.taps, a.out, a.spread, a.stride, (a.out - 1) * a.stride - a.low, a.n)


_PARTS: dict[_Kind, Callable[[_Axis], _Part]] = {
    ("forward", False): _forward,
    ("input_gradient", False): _input_gradient,
    ("kernel_gradient", False): _kernel_gradient,
    ("kernel_gradient", True): _of_transposed,
}
