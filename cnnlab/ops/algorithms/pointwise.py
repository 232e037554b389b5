"""A 1x1 convolution as one matrix product over the channels (A 5.1)."""

import jax.numpy as jnp
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.geometry import Problem
from cnnlab.ops.precision import accumulation_dtype


def _apply(x: Array, kernel: Array, problem: Problem) -> Array:
    x = x[(slice(None), *(slice(None, None, s) for s in problem.stride))]
    weight = kernel.reshape(problem.in_channels, problem.out_channels)
    y = jnp.matmul(x, weight, preferred_element_type=accumulation_dtype(problem.dtype))
    return y.astype(problem.dtype)


def _refusal(problem: Problem) -> str | None:
    if set(problem.kernel_size) != {1}:
        return f"the kernel size is {problem.kernel_size}, not 1 along every axis"
    if problem.groups > 1:
        return f"it has {problem.groups} groups, not 1"
    if any(problem.padding[i] != (0, 0) for i in range(problem.rank)):
        return f"it is padded by {problem.padding}"
    return None


POINTWISE = Algorithm("pointwise", "A 5.1", _refusal, _apply)
