"""XLA's own convolution: the direct sum of B eq. 10.8, left to the compiler."""

from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.geometry import Problem
from cnnlab.ops.precision import accumulation_dtype

_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}


def _apply(x: Array, kernel: Array, problem: Problem) -> Array:
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


def _refusal(problem: Problem) -> None:
    return None


LAX = Algorithm("lax", "B eq. 10.8; jax.lax.conv_general_dilated", _refusal, _apply)
