"""oneDNN's compiled convolutions on the CPU (`cnnlab/ops/native`), all three passes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.native import ENGINE, geometry
from cnnlab.ops.problem import PASSES, Pass, Problem

_LARGEST = 2**31 - 1


def refusal(problem: Problem) -> str | None:
    """Why the engine cannot serve; the engine itself is asked last, for it may have to be built."""
    if problem.dtype not in (np.dtype(np.float32), np.dtype(jnp.bfloat16)):
        return f"it serves float32 and bfloat16, not {problem.dtype}"
    if any(pad < 0 for pads in problem.padding for pad in pads):
        return f"it can't crop: padding {problem.padding}"
    shapes = (problem.x_shape, problem.kernel_shape, problem.y_shape)
    if any(n > _LARGEST for shape in shapes for n in shape):
        return "an axis is longer than oneDNN can count"
    if 0 in problem.x_shape[1:] + problem.kernel_shape:
        return "an array is empty"
    return ENGINE.refusal()


def _call(which: Pass, a: Array, b: Array, problem: Problem) -> Array:
    shapes = (problem.y_shape, problem.x_shape, problem.kernel_shape)
    shape = shapes[PASSES.index(which)]
    # Where oneDNN has no code for bfloat16 on this processor, float32 around it.
    dtype = problem.dtype if ENGINE.implementation(problem, which) else np.dtype(np.float32)
    call = jax.ffi.ffi_call("cnnlab_conv", jax.ShapeDtypeStruct(shape, dtype))
    attributes = {"pass": np.int64(PASSES.index(which)), **geometry(problem)}
    return call(a.astype(dtype), b.astype(dtype), **attributes).astype(problem.dtype)


NATIVE = Algorithm(
    name="native",
    source="oneDNN, through XLA's foreign function interface",
    refusal=refusal,
    forward=lambda x, kernel, problem: _call("forward", x, kernel, problem),
    input_gradient=lambda dy, kernel, problem: _call("input_gradient", dy, kernel, problem),
    kernel_gradient=lambda x, dy, problem: _call("kernel_gradient", x, dy, problem),
    multiply_adds=lambda problem: problem.multiply_adds,
    # At most one reordered copy of the kernel where the activations stay as they are.
    extra_memory=lambda problem: int(np.prod(problem.kernel_shape)) * problem.dtype.itemsize,
)
