"""Patches as columns, then one matrix product (A 6.2): `H = W vect(P)` of A 3.2.

The patches take `taps` times the input's memory, so they are made for a few examples at a time and
never leave the cache.
"""

from dataclasses import replace

import jax.numpy as jnp
from jaxtyping import Array

from cnnlab.ops.algorithms import adjoint, tiles
from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm
from cnnlab.ops.algorithms.slices import pad_input, tap_slices
from cnnlab.ops.algorithms.tiles import by_tiles, sum_tiles
from cnnlab.ops.precision import accumulation_dtype, product
from cnnlab.ops.problem import Pass, Problem


def _patches(x: Array, problem: Problem) -> Array:
    """`vect(P)` of every window, by group: `(n, *out, g, taps * c_in / g)`."""
    slices = tap_slices(pad_input(x, problem), problem)
    groups = problem.groups
    split = [s.reshape(*s.shape[:-1], groups, problem.in_channels // groups) for s in slices]
    return jnp.concatenate(split, axis=-1)


def _matrices(kernel: Array, problem: Problem) -> Array:
    """`(g, taps * c_in / g, c_out / g)`."""
    groups = problem.groups
    return jnp.moveaxis(kernel.reshape(-1, groups, problem.out_channels // groups), 1, 0)


def _bytes_each(problem: Problem) -> int:
    """Of one example's patches."""
    positions = replace(problem, batch=1).multiply_adds // problem.out_channels
    return positions * problem.groups * problem.dtype.itemsize


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    matrices = _matrices(kernel, problem)
    if problem.groups == 1:
        return product("...gk,gko->...o", _patches(x, problem), matrices)
    return product("...gk,gko->...go", _patches(x, problem), matrices).reshape(problem.y_shape)


def _kernel_gradient(x: Array, dy: Array, problem: Problem) -> Array:
    groups, wide = problem.groups, accumulation_dtype(problem.dtype)

    def one(x: Array, dy: Array) -> Array:
        dy = dy.reshape(*dy.shape[:-1], groups, problem.out_channels // groups)
        patches = _patches(x, problem)
        return jnp.einsum("...gk,...go->gko", patches, dy, preferred_element_type=wide)

    tile = tiles.tile_size(problem.batch, _bytes_each(problem))
    matrices = sum_tiles(one, (x, dy), tile)
    return jnp.moveaxis(matrices, 0, 1).reshape(problem.kernel_shape).astype(problem.dtype)


def _extra_memory(problem: Problem) -> int:
    each = _bytes_each(problem)
    return tiles.tile_size(problem.batch, each) * each


_MOST_TAPS = 64  # it makes a copy for each


def _nanoseconds(problem: Problem, which: Pass, platform: str) -> float:
    """Finite everywhere, as it serves everything and is always direct: the last resort."""
    if platform != "cpu":
        rate = 100.0
    elif problem.depthwise:
        rate = 0.5
    else:
        rate = 18.0 if problem.groups > 1 or problem.taps <= _MOST_TAPS else 2.0
    return problem.multiply_adds / rate


IM2COL = Algorithm(
    name="im2col",
    source="A 6.2",
    refusal=lambda problem: None,
    forward=by_tiles(_forward, _bytes_each),
    errors=OWN_SUM,
    multiply_adds=lambda problem: problem.multiply_adds,
    extra_memory=_extra_memory,
    input_gradient=by_tiles(adjoint.by_phases(_forward), _bytes_each),
    kernel_gradient=_kernel_gradient,
    nanoseconds=_nanoseconds,
    direct=lambda problem, which, platform: True,
    most_taps=_MOST_TAPS,
)
