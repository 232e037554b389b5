"""oneDNN's compiled convolutions on the CPU (`cnnlab/ops/native`), all three passes."""

import functools

import jax.numpy as jnp
import numpy as np

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.native import ENGINE, convolve, convolve_bias
from cnnlab.ops.problem import Problem

# float16 is converted to float32 and back.
_DTYPES = [np.dtype(d) for d in (np.float32, jnp.bfloat16, np.float16)]
_LARGEST = 2**31 - 1


def refusal(problem: Problem) -> str | None:
    """Why the engine cannot serve; the engine itself is asked last, for it may have to be built."""
    if problem.dtype not in _DTYPES:
        return f"it computes in float32 and bfloat16, not {problem.dtype}"
    if any(pad < 0 for pads in problem.padding for pad in pads):
        return f"it can't crop: padding {problem.padding}"
    shapes = (problem.x_shape, problem.kernel_shape, problem.y_shape)
    if any(n > _LARGEST for shape in shapes for n in shape):
        return "an axis is longer than oneDNN can count"
    if 0 in problem.x_shape[1:] + problem.kernel_shape:
        return "an array is empty"
    return ENGINE.refusal()


NATIVE = Algorithm(
    name="native",
    source="oneDNN, through XLA's foreign function interface",
    refusal=refusal,
    forward=functools.partial(convolve, "forward"),
    input_gradient=functools.partial(convolve, "input_gradient"),
    kernel_gradient=functools.partial(convolve, "kernel_gradient"),
    fused=convolve_bias,
    unavailable=ENGINE.refusal,
    multiply_adds=lambda problem: problem.multiply_adds,
    # At most one reordered copy of the kernel where the activations stay as they are.
    extra_memory=lambda problem: int(np.prod(problem.kernel_shape)) * problem.dtype.itemsize,
)
