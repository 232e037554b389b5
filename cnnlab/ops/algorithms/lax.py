"""XLA's own convolution: the direct sum of B eq. 10.8, left to the compiler with both gradients."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Pass, Problem

_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    """Padding beyond the kernel's reach, and cropping, come before the convolution.

    Else its transpose in `x` would have a negative padding before and a positive one after, where
    jaxlib 0.10.1 reads what is not the input's.
    """
    spatial = _SPATIAL[problem.rank]
    limits = [n - 1 for n in problem.window.extent]
    kept = [
        (max(0, min(lo, n)), max(0, min(hi, n)))
        for (lo, hi), n in zip(problem.padding, limits, strict=True)
    ]
    rest = [(lo - a, hi - b, 0) for (lo, hi), (a, b) in zip(problem.padding, kept, strict=True)]
    if any(low or high for low, high, _ in rest):
        x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *rest, (0, 0, 0)))
    y = lax.conv_general_dilated(
        x,
        kernel,
        window_strides=problem.stride,
        padding=kept,
        rhs_dilation=problem.dilation,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=problem.groups,
        preferred_element_type=accumulation_dtype(problem.dtype),
    )
    return y.astype(problem.dtype)


def _direct(problem: Problem, which: Pass, platform: str) -> bool:
    """XLA computes the kernel's gradient of groups as one of a single group, and keeps a part: what
    is infinite or NaN in a group reaches the others. Libraries on GPUs transform where it pays."""
    whole = problem.groups == 1 or which != "kernel_gradient"
    return platform in ("cpu", "tpu") and whole


def _nanoseconds(problem: Problem, which: Pass, platform: str) -> float:
    """On the CPU XLA makes patches and one matrix product for every group. Its gradient in the
    kernel takes two to five forward passes; that of groups is a part of a dense one's."""
    if platform != "cpu":
        rate = 1000.0
    elif problem.depthwise:
        rate = 0.7
    elif problem.groups > 1:
        fast = which == "forward" or (which == "input_gradient" and max(problem.stride) == 1)
        rate = 19.0 if fast else 1.0
    else:
        rate = 8.0 if which == "kernel_gradient" or problem.rank == 3 else 19.0
    return problem.multiply_adds / rate


LAX = Algorithm(
    name="lax",
    source="B eq. 10.8; jax.lax.conv_general_dilated",
    refusal=lambda problem: None,
    forward=_forward,
    errors=f"{OWN_SUM}; on a GPU its library may transform",
    nanoseconds=_nanoseconds,
    direct=_direct,
    multiply_adds=lambda problem: problem.multiply_adds,
    extra_memory=lambda problem: 0,
)
