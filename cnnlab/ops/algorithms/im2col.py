"""Patches as columns, then one matrix product (A 6.2): `H = W vect(P)` of A 3.2."""

import math

import jax.numpy as jnp
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.geometry import Problem
from cnnlab.ops.patches import unfold
from cnnlab.ops.precision import accumulation_dtype


def _apply(x: Array, kernel: Array, problem: Problem) -> Array:
    geometry = {s: getattr(problem, s) for s in ("stride", "padding", "dilation")}
    columns = unfold(x, problem.kernel_size, **geometry)
    wide = accumulation_dtype(problem.dtype)
    if problem.groups == 1:
        weight = kernel.reshape(-1, problem.out_channels)
        y = jnp.matmul(columns, weight, preferred_element_type=wide)
        return y.astype(problem.dtype)
    taps = math.prod(problem.kernel_size)
    groups, group_channels = problem.groups, problem.in_channels // problem.groups
    columns = columns.reshape(problem.batch, *problem.out, taps, groups, group_channels)
    weight = kernel.reshape(taps, group_channels, groups, problem.out_channels // groups)
    y = jnp.einsum("...tgi,tigo->...go", columns, weight, preferred_element_type=wide)
    return y.reshape(problem.batch, *problem.out, problem.out_channels).astype(problem.dtype)


def _refusal(problem: Problem) -> None:
    return None


IM2COL = Algorithm("im2col", "A 6.2", _refusal, _apply)
