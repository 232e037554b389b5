"""The native engine's convolutions inside a JAX program."""

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Array

from cnnlab.ops.native.engine import ENGINE, Code
from cnnlab.ops.native.partition import over_batch
from cnnlab.ops.problem import PASSES, Pass, Problem

# oneDNN's activations, in the order of `Activation` in convolution.h.
_ACTIVATIONS = (None, "relu", "gelu")


def convolve(which: Pass, a: Array, b: Array, problem: Problem, *, winograd: bool = False) -> Array:
    """One of the three maps, by oneDNN's choice or by Winograd's; arrays as an `Algorithm` has
    them."""
    attributes = {"winograd": winograd, "pass": np.int64(PASSES.index(which))}

    def run(a: Array, b: Array) -> Array:
        part = replace(problem, batch=a.shape[0])
        shapes = (part.y_shape, part.x_shape, part.kernel_shape)
        shape = shapes[PASSES.index(which)]
        return _call("cnnlab_conv", which, part, shape, (a, b), attributes)

    rank = problem.rank + 2
    if which == "kernel_gradient":
        return over_batch(run, (rank, rank), rank, split=(0, 1), summed=True)(a, b)
    return over_batch(run, (rank, rank), rank, split=(0,))(a, b)


def convolve_bias(
    x: Array,
    kernel: Array,
    bias: Array,
    problem: Problem,
    activation: str | None,
    *,
    winograd: bool = False,
) -> Array:
    """The forward pass with its bias, `(c_out,)`, and an activation: `None`, `relu` or (not by
    Winograd's) `gelu`."""
    attributes = {"winograd": winograd, "activation": np.int64(_ACTIVATIONS.index(activation))}

    def run(x: Array, kernel: Array, bias: Array) -> Array:
        part = replace(problem, batch=x.shape[0])
        operands = (x, kernel, bias)
        return _call("cnnlab_conv_bias", "forward", part, part.y_shape, operands, attributes)

    rank = problem.rank + 2
    return over_batch(run, (rank, rank, 1), rank, split=(0,))(x, kernel, bias)


def _call(
    target: str,
    which: Pass,
    problem: Problem,
    shape: tuple[int, ...],
    operands: tuple[Array, ...],
    attributes: dict[str, bool | np.int64],
) -> Array:
    # Where oneDNN has no good code for the type on this processor, float32 around it.
    narrow = not attributes["winograd"] and ENGINE.implementation(problem, which).code > Code.NONE
    dtype = problem.dtype if narrow else np.dtype(np.float32)
    call = jax.ffi.ffi_call(target, jax.ShapeDtypeStruct(shape, dtype))
    wide = (v.astype(dtype) for v in operands)
    return call(*wide, **attributes, **_geometry(problem)).astype(problem.dtype)


def _geometry(problem: Problem) -> dict[str, np.ndarray | np.int64]:
    """The attributes of a call that say where the windows lie."""
    return {
        "stride": np.array(problem.stride, np.int64),
        "dilation": np.array(problem.dilation, np.int64),
        "low": np.array([low for low, _ in problem.padding], np.int64),
        "high": np.array([high for _, high in problem.padding], np.int64),
        "groups": np.int64(problem.groups),
    }
