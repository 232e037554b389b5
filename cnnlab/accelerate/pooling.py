"""Pooling of JAX's, `reduce_window` over spatial axes, by the native engine."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jax import lax
from jax.core import ShapedArray
from jaxtyping import Array

from cnnlab.accelerate.service import Service, left
from cnnlab.ops import native
from cnnlab.ops.max_pooling import serves
from cnnlab.ops.problem import MAX_RANK
from cnnlab.ops.window import Window


class _Layout(NamedTuple):
    """Which axes of JAX's are examples, spatial and the channels."""

    batch: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: int

    @property
    def order(self) -> tuple[int, ...]:
        return (*self.batch, *self.spatial, self.channels)

    def last(self, x: Array) -> Array:
        """`(n, *spatial, c)`."""
        x = x.transpose(self.order)
        first = len(self.batch)
        return x.reshape(math.prod(x.shape[:first]), *x.shape[first:])

    def back(self, y: Array, shape: Sequence[int]) -> Array:
        """As JAX has it, in its shape."""
        there = y.reshape([shape[axis] for axis in self.order])
        return there.transpose(np.argsort(self.order))


def serve_max(x: ShapedArray, **parameters: Any) -> Service:
    """Of `reduce_window_max`."""
    found = _recognise(x, **parameters)
    if isinstance(found, str):
        return left(f"maximum over windows of {x.str_short()}", found)
    layout, window = found
    shape = window.output_shape([x.shape[axis] for axis in layout.spatial])
    result = dict(zip(layout.spatial, shape, strict=True))

    def run(x: Array) -> Array:
        y, _ = native.max_pool(layout.last(x), window)
        return layout.back(y, [result.get(axis, n) for axis, n in enumerate(x.shape)])

    return Service(run, f"native: maximum over {_words(window)} of {x.str_short()}")


def serve_max_gradient(
    dy: ShapedArray, x: ShapedArray, *, select_prim: Any, **parameters: Any
) -> Service:
    """Of `select_and_scatter_add`: the gradient goes to the first of the largest entries, there as
    here."""
    found = _recognise(x, **parameters)
    if select_prim is not lax.ge_p:
        found = "it is of the smallest entry"
    if isinstance(found, str):
        return left(f"gradient of the maximum over windows of {x.str_short()}", found)
    layout, window = found

    def run(dy: Array, x: Array) -> Array:
        spatial = tuple(x.shape[axis] for axis in layout.spatial)
        _, index = native.max_pool(layout.last(x), window)
        dx = native.max_pool_gradient(layout.last(dy), index, window, spatial)
        return layout.back(dx, x.shape)

    what = f"gradient of the maximum over {_words(window)} of {x.str_short()}"
    return Service(run, f"native: {what}")


def _words(window: Window) -> str:
    by = lambda numbers: "x".join(map(str, numbers))
    return f"{by(window.size)} windows, stride {by(window.stride)}"


def _recognise(
    x: ShapedArray,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int] = (),
    window_dilation: Sequence[int] = (),
) -> tuple[_Layout, Window] | str:
    """Where the engine finds its axes, and its window; or why it does not."""
    if any(d != 1 for d in (*base_dilation, *window_dilation)):
        return "it is dilated"
    if not all(isinstance(n, int) for n in x.shape) or 0 in x.shape:
        return "a size is left open, or 0"
    axes = list(zip(window_dimensions, window_strides, map(tuple, padding), strict=True))
    layout = _layout([axis != (1, 1, (0, 0)) for axis in axes])
    if layout is None:
        return "its windows are not of one to three axes beside channels"
    size, stride, pads = zip(*(axes[axis] for axis in layout.spatial), strict=True)
    window = Window(size, stride, pads, (1,) * len(size))
    if not (native.pools(x.dtype) and serves(window, x.dtype)):
        return f"the engine has no {_words(window)} of {x.dtype}"
    spatial = [x.shape[axis] for axis in layout.spatial]
    # Each window has an entry that is no padding, and all that it would have.
    out = window.output_shape(spatial)
    for n, k, s, (low, high), o in zip(spatial, size, stride, pads, out, strict=True):
        if not (0 <= low < k and high >= 0 and (o - 1) * s - low < n):
            return f"a window is padding alone, or cropped: {pads}"
    return layout, window


def _layout(pooled: list[bool]) -> _Layout | None:
    """Channels are the last axis, or else the one before the windows'."""
    if not any(pooled) or all(pooled):
        return None
    first, last = pooled.index(True), len(pooled) - 1
    if not pooled[-1]:
        layout = _Layout(tuple(range(first)), tuple(range(first, last)), last)
    elif first > 0:
        layout = _Layout(tuple(range(first - 1)), tuple(range(first, last + 1)), first - 1)
    else:
        return None
    return layout if len(layout.spatial) <= MAX_RANK else None
