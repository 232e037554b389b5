"""Pooling: a window's maximum or mean (A 4.5, B eq. 10.9), and the whole map's (A 4.4)."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Inexact, Real

from cnnlab.arguments import shown, takes_arrays
from cnnlab.ops.max_pooling import largest, lowest, serves
from cnnlab.ops.precision import accumulation_dtype, last_axes
from cnnlab.ops.window import Ints, Padding, Window


@takes_arrays
def max_pool(
    x: Real[Array, "*shape c"],
    window: Sequence[int],
    stride: Ints | None = None,
    padding: Padding = "VALID",
) -> Real[Array, "*out c"]:
    """Maximum over windows, per channel (A 4.5, B eq. 10.9).

    The gradient of a window goes to one of its entries, the first of the largest in row-major
    order. Padding never wins.

    **Arguments:**

    - `x`: `(*batch, *spatial, c)`.
    - `window`: one size per spatial axis.
    - `stride`: an int or one per axis; None is the window itself.
    - `padding`: as for `conv`, but less than the window on every side.

    **Returns:** `(*batch, *out, c)`.

    **Raises:** `ValueError`: a bad argument, or a window that does not fit.
    """
    sliding = _sliding(x, window, stride, padding)
    if not serves(sliding, x.dtype):
        return _reduce(x, lowest(x.dtype), lax.max, sliding)
    first = x.ndim - sliding.rank - 1
    y = largest(x.reshape(math.prod(x.shape[:first]), *x.shape[first:]), sliding)
    return y.reshape(*x.shape[:first], *y.shape[1:])


@takes_arrays
def avg_pool(
    x: Inexact[Array, "*shape c"],
    window: Sequence[int],
    stride: Ints | None = None,
    padding: Padding = "VALID",
) -> Inexact[Array, "*out c"]:
    """Mean over windows, per channel (B 10.1.4). Padding is not counted.

    **Arguments**, **returns** and **raises** as `max_pool`; 16-bit floats are summed in float32.
    """
    sliding = _sliding(x, window, stride, padding)
    wide = x.astype(accumulation_dtype(x.dtype))
    total = _reduce(wide, np.zeros((), wide.dtype), lax.add, sliding)
    if all(p == (0, 0) for p in sliding.pads):
        return (total / sliding.taps).astype(x.dtype)
    ones = jnp.ones((*sliding.spatial(x.shape), 1), wide.real.dtype)
    counts = _reduce(ones, np.zeros((), ones.dtype), lax.add, sliding)
    return (total / last_axes(counts, total.ndim)).astype(x.dtype)


@takes_arrays
def global_pool(
    x: Inexact[Array, "*shape c"], kind: str, num_spatial_dims: int = 2
) -> Inexact[Array, "*batch c"]:
    """Mean, maximum or sum over the whole map, per channel (A 4.4, A 4.8).

    The gradient of a maximum goes to the first of the largest entries, as `max_pool`'s does.

    **Arguments:**

    - `x`: `(*batch, *spatial, c)`.
    - `kind`: `"avg"`, `"max"` or `"sum"`.
    - `num_spatial_dims`: how many axes before the channels to pool over.

    **Returns:** `(*batch, c)`.

    **Raises:** `ValueError`: another kind, or fewer axes than asked for.
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


def _sliding(x: Array, window: Sequence[int], stride: Ints | None, padding: Padding) -> Window:
    """A pool's arguments, for this input: every window holds an entry of it."""
    whole = Window.over(x.ndim, window, stride, padding)
    sliding = whole.at(whole.spatial(x.shape))
    for i, (pair, size) in enumerate(zip(sliding.pads, sliding.size, strict=True)):
        if max(pair) >= size:
            raise ValueError(
                f"padding[{i}]: expected less than the window ({size}), got {max(pair)}"
            )
    sliding.output_shape(sliding.spatial(x.shape))  # refuses a window that does not fit
    return sliding


def _reduce(
    x: Array, initial: np.ndarray, operation: Callable[[Array, Array], Array], window: Window
) -> Array:
    """`lax.reduce_window` over the spatial axes, without the entries that no window reaches.

    jaxlib 0.10.1 returns wrong numbers on the CPU for windows that leave a rest (its `ynn_fusion`)
    where it fuses a large array's reshape with them.
    """
    batch = x.ndim - window.rank - 1
    reached, kept = [], []
    zipped = zip(window.spatial(x.shape), window.size, window.stride, window.pads, strict=True)
    for n, w, s, (low, high) in zipped:
        end = (n + low + high - w) // s * s + w - low
        reached.append(min(n, end))
        kept.append((low, max(end - n, 0)))
    x = x[(..., *(slice(end) for end in reached), slice(None))]
    ones, zeros = (1,) * batch, ((0, 0),) * batch
    sizes, strides = (*ones, *window.size, 1), (*ones, *window.stride, 1)
    return lax.reduce_window(x, initial, operation, sizes, strides, (*zeros, *kept, (0, 0)))
