"""Pooling: a window's maximum or mean (A 4.5, B eq. 10.9), and the whole map's (A 4.4)."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Inexact, Real

from cnnlab.ops.arguments import shown, takes_arrays
from cnnlab.ops.geometry import Padding, Pairs, output_shape, resolve_padding, to_tuple
from cnnlab.ops.largest import largest, lowest, serves
from cnnlab.ops.patches import check_window
from cnnlab.ops.precision import accumulation_dtype, last_axes
from cnnlab.ops.windows import Windows


@takes_arrays
def max_pool(
    x: Real[Array, "*shape c"],
    window: Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Real[Array, "*out c"]:
    """Maximum over windows, per channel (A 4.5, B eq. 10.9).

    The gradient of a window goes to one of its entries, the first of the largest in row-major
    order. Padding never wins.

    Args:
        x: `(*batch, *spatial, c)`.
        window: one size per spatial axis.
        stride: an int or one per axis; None is the window itself.
        padding: as for `conv`, but less than the window on every side.

    Returns:
        `(*batch, *out, c)`.

    Raises:
        ValueError: a bad argument, or a window that does not fit.
    """
    window, stride, pads, out = _resolve(x, window, stride, padding)
    if not serves(window, x.dtype):
        return _reduce(x, lowest(x.dtype), lax.max, window, stride, pads)
    first = x.ndim - len(window) - 1
    flat = x.reshape(math.prod(x.shape[:first]), *x.shape[first:])
    windows = Windows(flat.shape[0], x.shape[first:-1], x.shape[-1], window, stride, pads)
    return largest(flat, windows).reshape(*x.shape[:first], *out, x.shape[-1])


@takes_arrays
def avg_pool(
    x: Inexact[Array, "*shape c"],
    window: Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Inexact[Array, "*out c"]:
    """Mean over windows, per channel (B 10.1.4). Padding is not counted.

    Args, returns and errors: as `max_pool`. 16-bit floats are summed in float32.
    """
    window, stride, pads, _ = _resolve(x, window, stride, padding)
    wide = x.astype(accumulation_dtype(x.dtype))
    total = _reduce(wide, np.zeros((), wide.dtype), lax.add, window, stride, pads)
    if all(p == (0, 0) for p in pads):
        return (total / math.prod(window)).astype(x.dtype)
    ones = jnp.ones((*x.shape[-len(window) - 1 : -1], 1), wide.real.dtype)
    counts = _reduce(ones, np.zeros((), ones.dtype), lax.add, window, stride, pads)
    return (total / last_axes(counts, total.ndim)).astype(x.dtype)


@takes_arrays
def global_pool(
    x: Inexact[Array, "*shape c"], kind: str, num_spatial_dims: int = 2
) -> Inexact[Array, "*batch c"]:
    """Mean, maximum or sum over the whole map, per channel (A 4.4, A 4.8).

    The gradient of a maximum goes to the first of the largest entries, as `max_pool`'s does.

    Args:
        x: `(*batch, *spatial, c)`.
        kind: `"avg"`, `"max"` or `"sum"`.
        num_spatial_dims: how many axes before the channels to pool over.

    Returns:
        `(*batch, c)`.

    Raises:
        ValueError: another kind, or fewer axes than asked for.
    """
    reductions = {"avg": jnp.mean, "max": _maximum, "sum": jnp.sum}
    if kind not in reductions:
        raise ValueError(f"kind: expected one of {', '.join(reductions)}, got {shown(kind)}")
    if not 1 <= num_spatial_dims < x.ndim:
        raise ValueError(
            f"num_spatial_dims: expected 1 to {x.ndim - 1} for shape {x.shape}, "
            f"got {num_spatial_dims}"
        )
    axes = tuple(range(-num_spatial_dims - 1, -1))
    # mean and sum of 16-bit floats are accumulated in float32 by jnp itself.
    return reductions[kind](x, axis=axes)


def _maximum(x: Array, axis: tuple[int, ...]) -> Array:
    """The maximum over axes before the channels, as one window, which knows where it was.

    `jnp.max` finds it again for the gradient, by comparing: where XLA computes `x` twice, rounded
    otherwise, nothing is equal to it and the gradient is 0 / 0.
    """
    y = max_pool(x, [x.shape[i] for i in axis])
    return y.reshape(*y.shape[: axis[0]], y.shape[-1])


def _resolve(
    x: Array, window: Sequence[int], stride: int | Sequence[int] | None, padding: Padding
) -> tuple[tuple[int, ...], tuple[int, ...], Pairs, tuple[int, ...]]:
    window = check_window(window, x.ndim)
    rank = len(window)
    stride = to_tuple("stride", window if stride is None else stride, rank)
    spatial = x.shape[-rank - 1 : -1]
    pads = resolve_padding(padding, spatial, window, stride)
    for i, (pair, w) in enumerate(zip(pads, window, strict=True)):
        if max(pair) >= w:
            raise ValueError(f"padding[{i}]: expected less than the window ({w}), got {max(pair)}")
    return window, stride, pads, output_shape(spatial, window, stride=stride, padding=pads)


def _reduce(
    x: Array,
    initial: np.ndarray,
    operation: Callable[[Array, Array], Array],
    window: tuple[int, ...],
    stride: tuple[int, ...],
    pads: Pairs,
) -> Array:
    """`lax.reduce_window` over the spatial axes, without the entries that no window reaches.

    jaxlib 0.10.1 returns wrong numbers on the CPU for windows that leave a rest (its `ynn_fusion`)
    where it fuses a large array's reshape with them.
    """
    batch = x.ndim - len(window) - 1
    reached, kept = [], []
    for n, w, s, (low, high) in zip(x.shape[batch:-1], window, stride, pads, strict=True):
        end = (n + low + high - w) // s * s + w - low
        reached.append(min(n, end))
        kept.append((low, max(end - n, 0)))
    x = x[(..., *(slice(end) for end in reached), slice(None))]
    ones, zeros = (1,) * batch, ((0, 0),) * batch
    return lax.reduce_window(
        x, initial, operation, (*ones, *window, 1), (*ones, *stride, 1), (*zeros, *kept, (0, 0))
    )
