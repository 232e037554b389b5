"""Exact zeros where no window reaches: what transforms leave there is rounding.

The derivative of one result in an input outside its window is then 0, not 1e-8.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from cnnlab.ops.algorithms.adjoint import without_stride
from cnnlab.ops.algorithms.base import Map
from cnnlab.ops.problem import Problem


def forward_within(forward: Map) -> Map:
    """`forward` with zeros where a window holds nothing but zeros."""

    @functools.wraps(forward)
    def within(x: Array, kernel: Array, problem: Problem) -> Array:
        lows = tuple(low for low, _ in problem.padding)
        held = _held(x, lows, problem.stride, problem.out, problem)
        return jnp.where(held, forward(x, kernel, problem), 0)

    return within


def input_gradient_within(input_gradient: Map) -> Map:
    """The same of the transpose in the input."""

    @functools.wraps(input_gradient)
    def within(dy: Array, kernel: Array, problem: Problem) -> Array:
        dx = input_gradient(dy, kernel, problem)
        apart, plain = without_stride(dy, problem)
        extents = problem.window.extent
        lows = tuple(e - 1 - low for e, (low, _) in zip(extents, problem.padding, strict=True))
        held = _held(apart, lows, plain.stride, problem.spatial, problem)
        return jnp.where(held, dx, 0)

    return within


def _held(
    x: Array,
    lows: tuple[int, ...],
    strides: tuple[int, ...],
    out: tuple[int, ...],
    problem: Problem,
) -> Bool[Array, "batch *out 1"]:
    """Whether the windows, which begin `lows` before `x`, hold an entry that is not zero. A
    window is all between its first and its last tap."""
    count = jnp.any(x != 0, axis=-1).astype(jnp.int32)
    extents = problem.window.extent
    for axis, (low, e, s, n) in enumerate(zip(lows, extents, strides, out, strict=True), 1):
        # Entries before where windows begin and end: what lies in between is held. (jaxlib 0.10.1
        # gives wrong sums where padding comes before them, so the places are clipped instead.)
        begin = np.arange(n) * s - low
        size = count.shape[axis]
        before = jnp.pad(jnp.cumsum(count, axis), [(int(i == axis), 0) for i in range(count.ndim)])
        until = lambda at, before=before, axis=axis, size=size: jnp.take(
            before, np.clip(at, 0, size), axis
        )
        count = until(begin + e) - until(begin)
    return (count > 0)[..., None]
