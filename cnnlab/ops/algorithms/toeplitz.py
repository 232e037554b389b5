"""The whole convolution as one dense matrix (A 3.3): didactic, and a reference for small sizes."""

import math

import jax.numpy as jnp
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.geometry import Problem
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.toeplitz import matrix

MAX_ENTRIES = 2**24  # 64 MiB in float32


def _apply(x: Array, kernel: Array, problem: Problem) -> Array:
    rows = x.reshape(problem.batch, math.prod(problem.spatial) * problem.in_channels)
    wide = accumulation_dtype(problem.dtype)
    y = jnp.matmul(rows, matrix(kernel, problem).T, preferred_element_type=wide)
    return y.reshape(problem.batch, *problem.out, problem.out_channels).astype(problem.dtype)


def _refusal(problem: Problem) -> str | None:
    inputs = math.prod(problem.spatial) * problem.in_channels
    outputs = math.prod(problem.out) * problem.out_channels
    if inputs * outputs > MAX_ENTRIES:
        return (
            f"its matrix would be {outputs:,} x {inputs:,}, "
            f"{inputs * outputs:,} entries of {MAX_ENTRIES:,} allowed"
        )
    return None


TOEPLITZ = Algorithm("toeplitz", "A 3.3", _refusal, _apply)
