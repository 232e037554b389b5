"""XLA's own convolution: the direct sum of B eq. 10.8, left to the compiler with both gradients."""

from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Problem

_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
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


LAX = Algorithm(
    name="lax",
    source="B eq. 10.8; jax.lax.conv_general_dilated",
    refusal=lambda problem: None,
    forward=_forward,
    multiply_adds=lambda problem: problem.multiply_adds,
    extra_memory=lambda problem: 0,
)
