"""XLA's own convolution: the direct sum of B eq. 10.8, left to the compiler.

Only its derivative in the kernel is our own on the CPU, where XLA's takes up to five times as long
as the forward pass: there the map `kernel -> y`, which is linear, is written as patches times
matrix (A 6.2) over a few examples at a time, and what JAX transposes is that.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.geometry import Problem
from cnnlab.ops.precision import accumulation_dtype

_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}
_MOST_TAPS = 49
# Examples a tile: measured best from 7x7 to 28x28 pixels and 1 to 128 channels.
_TILE = 8


def _apply(x: Array, kernel: Array, problem: Problem) -> Array:
    if _tiles_pay(problem):
        return _conv(problem, x, kernel)
    return _direct(x, kernel, problem)


def _direct(x: Array, kernel: Array, problem: Problem) -> Array:
    spatial = _SPATIAL[problem.rank]
    y = lax.conv_general_dilated(
        x,
        kernel,
        window_strides=problem.stride,
        padding=problem.padding,
        rhs_dilation=problem.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=problem.groups,
        preferred_element_type=accumulation_dtype(problem.dtype),
    )
    return y.astype(problem.dtype)


def _tiles_pay(problem: Problem) -> bool:
    taps = math.prod(problem.kernel_size)
    plain = problem.groups == 1 and problem.dtype == jnp.float32 and problem.batch > 0
    return plain and 1 < taps <= _MOST_TAPS and jax.default_backend() == "cpu"


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _conv(problem: Problem, x: Array, kernel: Array) -> Array:
    return _direct(x, kernel, problem)


@_conv.defjvp
def _(problem: Problem, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x, kernel), (dx, dkernel) = primals, tangents
    return _conv(problem, x, kernel), _conv(problem, dx, kernel) + _tiled(problem, x, dkernel)


def _tiled(problem: Problem, x: Array, kernel: Array) -> Array:
    """Patches times matrix, a tile of examples at a time."""
    tile = math.gcd(problem.batch, _TILE)
    matrix = kernel.reshape(-1, kernel.shape[-1])

    # Patches are made again for the transpose: kept, they would take taps times the input's memory.
    @functools.partial(jax.checkpoint, policy=jax.checkpoint_policies.nothing_saveable)
    def one(tile_of_x: Array, matrix: Array) -> Array:
        return _patches(tile_of_x, problem) @ matrix

    tiles = x.reshape(-1, tile, *x.shape[1:])
    y = lax.map(lambda tile_of_x: one(tile_of_x, matrix), tiles)
    return y.reshape(problem.batch, *y.shape[2:])


def _patches(x: Array, problem: Problem) -> Array:
    """`(n, *out, taps * c)`: one strided slice for each tap of the kernel."""
    x = jnp.pad(x, ((0, 0), *problem.padding, (0, 0)))
    slices = []
    for tap in itertools.product(*(range(k) for k in problem.kernel_size)):
        starts = [t * d for t, d in zip(tap, problem.dilation, strict=True)]
        stops = [
            start + (n - 1) * s + 1
            for start, n, s in zip(starts, problem.out, problem.stride, strict=True)
        ]
        steps = (1, *problem.stride, 1)
        slices.append(lax.slice(x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), steps))
    return jnp.concatenate(slices, axis=-1)


def _refusal(problem: Problem) -> None:
    return None


LAX = Algorithm("lax", "B eq. 10.8; jax.lax.conv_general_dilated", _refusal, _apply)
