"""The whole convolution as one dense matrix (A 3.3): didactic, and a reference for small sizes."""

import math

from jaxtyping import Array

from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm
from cnnlab.ops.precision import product
from cnnlab.ops.problem import Problem
from cnnlab.ops.toeplitz import matrix

MAX_ENTRIES = 2**24  # 64 MiB in float32


def _entries(problem: Problem) -> tuple[int, int]:
    inputs = math.prod(problem.spatial) * problem.in_channels
    return math.prod(problem.out) * problem.out_channels, inputs


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    y = product("ni,oi->no", x.reshape(problem.batch, -1), matrix(kernel, problem))
    return y.reshape(problem.y_shape)


def _input_gradient(dy: Array, kernel: Array, problem: Problem) -> Array:
    dx = product("no,oi->ni", dy.reshape(problem.batch, -1), matrix(kernel, problem))
    return dx.reshape(problem.x_shape)


def _refusal(problem: Problem) -> str | None:
    outputs, inputs = _entries(problem)
    if inputs * outputs > MAX_ENTRIES:
        return (
            f"its matrix would be {outputs:,} x {inputs:,}, "
            f"{inputs * outputs:,} entries of {MAX_ENTRIES:,} allowed"
        )
    return None


TOEPLITZ = Algorithm(
    name="toeplitz",
    source="A 3.3",
    refusal=_refusal,
    forward=_forward,
    errors=f"{OWN_SUM}; NaN and infinities reach everything",
    multiply_adds=lambda problem: problem.batch * math.prod(_entries(problem)),
    extra_memory=lambda problem: math.prod(_entries(problem)) * problem.dtype.itemsize,
    input_gradient=_input_gradient,
)
