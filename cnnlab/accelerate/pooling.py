"""Pooling of JAX's, `reduce_window` over spatial axes: maxima by the native engine, sums as the
depthwise convolutions with ones that they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jaxtyping import Array

from cnnlab.accelerate.service import PLATFORM, Service, left
from cnnlab.ops import REFERENCE, native
from cnnlab.ops.choice import check, choose
from cnnlab.ops.max_pooling import serves
from cnnlab.ops.problem import MAX_RANK, Problem
from cnnlab.ops.window import Window

# The engine compares as many at a time; with fewer XLA's own loops are faster.
_FEWEST_CHANNELS = 16


@dataclass(frozen=True)
class _Pool:
    """Windows over an array of JAX's.

    - `window`: over the spatial axes; `shape`: of the array.
    - `batch`, `spatial`, `channels`: which axes are examples, spatial, the channels.
    """

    window: Window
    shape: tuple[int, ...]
    batch: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the spatial axes."""
        return tuple(self.shape[axis] for axis in self.spatial)

    def __str__(self) -> str:
        by = lambda numbers: "x".join(map(str, numbers))
        return (
            f"{by(self.window.size)} windows, stride {by(self.window.stride)}, of "
            f"{by(self.sizes)} x {self.shape[self.channels]} channels"
        )

    def last(self, x: Array) -> Array:
        """`(n, *spatial, c)`."""
        x = x.transpose(*self.batch, *self.spatial, self.channels)
        first = len(self.batch)
        return x.reshape(math.prod(x.shape[:first]), *x.shape[first:])

    def back(self, y: Array) -> Array:
        """With the axes that JAX's array has."""
        order = (*self.batch, *self.spatial, self.channels)
        y = y.reshape(*(self.shape[axis] for axis in self.batch), *y.shape[1:])
        return y.transpose(np.argsort(order))


def serve_max(x: ShapedArray, **parameters: Any) -> Service:
    """Of `reduce_window_max`."""
    pool = _maximum(x, **parameters)
    if isinstance(pool, str):
        return left(f"maximum over windows of {x.str_short()}", pool)
    run = lambda x: pool.back(native.max_pool(pool.last(x), pool.window)[0])
    return Service(run, f"native: maximum over {pool}")


def serve_max_gradient(
    dy: ShapedArray, x: ShapedArray, *, select_prim: Any, **parameters: Any
) -> Service:
    """Of `select_and_scatter_add`: there as here the gradient goes to the first of the largest."""
    pool = _maximum(x, **parameters)
    if select_prim is not lax.ge_p:
        pool = "it is of the smallest entry"
    if isinstance(pool, str):
        return left(f"gradient of the maximum over windows of {x.str_short()}", pool)

    def run(dy: Array, x: Array) -> Array:
        _, index = native.max_pool(pool.last(x), pool.window)  # that of the pooling is found again
        dx = native.max_pool_gradient(pool.last(dy), index, pool.window, pool.sizes)
        return pool.back(dx)

    return Service(run, f"native: gradient of the maximum over {pool}")


def serve_sum(x: ShapedArray, **parameters: Any) -> Service:
    """Of `reduce_window_sum`, which an average is made of, and the gradient of one."""
    what = f"sum over windows of {x.str_short()}"
    pool = _recognise(x, **parameters)
    if isinstance(pool, str):
        return left(what, pool)
    if not native.pools(x.dtype):
        return left(what, f"the engine has none of {x.dtype}")
    channels = pool.shape[pool.channels]
    batch = math.prod(pool.shape[axis] for axis in pool.batch)
    problem = Problem(
        batch=batch,
        spatial=pool.sizes,
        in_channels=channels,
        out_channels=channels,
        window=pool.window,
        groups=channels,
        out=pool.window.output_shape(pool.sizes),
        dtype=np.dtype(x.dtype),
    )
    algorithm = choose(check("direct", problem), problem, "forward", PLATFORM)
    if algorithm.name == REFERENCE:
        return left(what, "nothing is faster")

    def run(x: Array) -> Array:
        ones = jnp.ones(problem.kernel_shape, x.dtype)
        return pool.back(algorithm.compute("forward", pool.last(x), ones, problem))

    return Service(run, f"{algorithm.name}: sum over {pool}")


def _maximum(x: ShapedArray, **parameters: Any) -> _Pool | str:
    """The windows of a maximum, or why the engine does not find it."""
    pool = _recognise(x, **parameters)
    if isinstance(pool, str):
        return pool
    window, sizes = pool.window, pool.sizes
    if not (native.pools(x.dtype) and serves(window, x.dtype)):
        return f"the engine has none of {x.dtype} over {window.taps} entries"
    if pool.shape[pool.channels] < _FEWEST_CHANNELS:
        return f"there are fewer than {_FEWEST_CHANNELS} channels"
    ends = zip(
        sizes, window.size, window.stride, window.pads, window.output_shape(sizes), strict=True
    )
    if any(low >= k or (out - 1) * s - low >= n for n, k, s, (low, _), out in ends):
        return f"a window is padding alone: {window.pads}"  # and has no largest entry
    return pool


def _recognise(
    x: ShapedArray,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int] = (),
    window_dilation: Sequence[int] = (),
) -> _Pool | str:
    """The windows of a `reduce_window`, or why they are none of cnnlab's."""
    if any(d != 1 for d in (*base_dilation, *window_dilation)):
        return "it is dilated"
    if not all(isinstance(n, int) for n in x.shape) or 0 in x.shape:
        return "a size is left open, or 0"
    if any(pad < 0 for pads in padding for pad in pads):
        return f"it is cropped: {padding}"
    along = list(zip(window_dimensions, window_strides, map(tuple, padding), strict=True))
    axes = _axes([axis != (1, 1, (0, 0)) for axis in along])
    if axes is None:
        return "its windows are not of one to three axes beside channels"
    size, stride, pads = zip(*(along[axis] for axis in axes[1]), strict=True)
    pool = _Pool(Window(size, stride, pads, (1,) * len(size)), x.shape, *axes)
    fits = all(e <= n for e, n in zip(size, pool.window.padded(pool.sizes), strict=True))
    return pool if fits else "its result is empty"


def _axes(pooled: Sequence[bool]) -> tuple[tuple[int, ...], tuple[int, ...], int] | None:
    """Axes of examples, spatial ones, and the channels: the last axis, or the one before the
    windows'."""
    if not any(pooled) or all(pooled):
        return None
    first, last = pooled.index(True), len(pooled) - 1
    if not pooled[last]:
        batch, spatial, channels = range(first), range(first, last), last
    elif first > 0:
        batch, spatial, channels = range(first - 1), range(first, last + 1), first - 1
    else:
        return None
    return (tuple(batch), tuple(spatial), channels) if len(spatial) <= MAX_RANK else None
