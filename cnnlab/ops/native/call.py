"""The native engine's convolutions inside a JAX program."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import jax
import numpy as np
from jax import lax
from jaxtyping import Array

from cnnlab.ops.native.engine import ENGINE, Code
from cnnlab.ops.native.partition import Axes, in_parts
from cnnlab.ops.problem import PASSES, Pass, Problem

Item = TypeVar("Item")
# oneDNN's activations, in the order of `Activation` in convolution.h.
_ACTIVATIONS = (None, "relu", "gelu")
_CHANNELS_FIRST = "cnnlab_conv_channels_first"


def convolve(
    which: Pass,
    a: Array,
    b: Array,
    problem: Problem,
    *,
    winograd: bool = False,
    outputs_first: bool = False,
) -> Array:
    """One of the three maps, by oneDNN's choice or by Winograd's; arrays as an `Algorithm` has
    them.

    **Arguments:** `outputs_first`, whether the engine reads the kernel, or writes its gradient, as
    `(c_out, c_in / groups, *kernel_size)`. Where the program has it like that, XLA finds both turns
    side by side and drops them.
    """
    # Of channels Winograd's takes whole vectors.
    channels = () if problem.groups > 1 or winograd else ("out_channels", "in_channels")
    attributes = {"winograd": winograd, "outputs_first": outputs_first}
    if outputs_first and which != "kernel_gradient":
        b = lax.transpose(b, _with_outputs_first(range(b.ndim)))
    y = _convolve("cnnlab_conv", which, a, b, problem, channels, attributes)
    if outputs_first and which == "kernel_gradient":
        y = lax.transpose(y, np.argsort(_with_outputs_first(range(y.ndim))))
    return y


def convolve_channels_first(which: Pass, a: Array, b: Array, problem: Problem) -> Array:
    """One of the three maps of sequences `(batch, c, length)`, with the kernel as ever; in float32,
    for stride 1 and one group."""
    channels = ("out_channels", "in_channels")
    return _convolve(_CHANNELS_FIRST, which, a, b, problem, channels, {})


def convolve_by_fft(which: Pass, a: Array, b: Array, problem: Problem) -> Array:
    """One of the three maps of sequences by Fourier transforms, in float32."""
    return _convolve("cnnlab_fft_conv", which, a, b, problem, (), {})


def _convolve(
    target: str,
    which: Pass,
    a: Array,
    b: Array,
    problem: Problem,
    channels: tuple[str, ...],
    attributes: dict[str, bool],
) -> Array:
    """**Arguments:** `channels`, which of them may be cut into parts, as the batch may."""
    x, kernel, y = _axes(problem)
    if target == _CHANNELS_FIRST:
        x, y = (_with_channels_first(axes) for axes in (x, y))
    if attributes.get("outputs_first"):
        kernel = _with_outputs_first(kernel)
    names = {"forward": (x, kernel, y), "input_gradient": (y, kernel, x)}
    *operands, result = names.get(which, (x, y, kernel))

    def run(a: Array, b: Array) -> Array:
        part = _part(problem, operands, (a, b))
        number = PASSES.index(which)
        shape = (part.y_shape, part.x_shape, part.kernel_shape)[number]
        if target == _CHANNELS_FIRST and which != "kernel_gradient":
            shape = _with_channels_first(shape)
        if attributes.get("outputs_first") and which == "kernel_gradient":
            shape = _with_outputs_first(shape)
        return _call(target, which, part, shape, (a, b), {**attributes, "pass": np.int64(number)})

    return in_parts(run, operands, (result,), ("batch", *channels))(a, b)


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
    *names, y = _axes(problem)

    def run(*operands: Array) -> Array:
        part = _part(problem, names, operands)
        return _call("cnnlab_conv_bias", "forward", part, part.y_shape, operands, attributes)

    # An activation comes after all is summed.
    channels = () if problem.groups > 1 or winograd else ("out_channels",)
    return in_parts(run, (*names, y[-1:]), (y,), ("batch", *channels))(x, kernel, bias)


def _axes(problem: Problem) -> tuple[Axes, Axes, Axes]:
    """Of `x`, the kernel and `y`: as fields of a problem those that a part of it has less of."""
    spatial, out = (
        [f"axis{i}_{n}" for i, n in enumerate(sizes)] for sizes in (problem.spatial, problem.out)
    )
    taps = [f"taps{i}" for i in range(problem.rank)]
    group = "in_channels" if problem.groups == 1 else "group_channels"
    x, y = ("batch", *spatial, "in_channels"), ("batch", *out, "out_channels")
    return x, (*taps, group, "out_channels"), y


def _with_channels_first(axes: Sequence[Item]) -> tuple[Item, ...]:
    batch, *spatial, channels = axes
    return (batch, channels, *spatial)


def _with_outputs_first(axes: Sequence[Item]) -> tuple[Item, ...]:
    *taps, inputs, outputs = axes
    return (outputs, inputs, *taps)


def _part(problem: Problem, names: Sequence[Axes], arrays: Sequence[Array]) -> Problem:
    """The problem of arrays that may be parts."""
    sizes: dict[str, int] = {}
    for axes, array in zip(names, arrays, strict=False):
        sizes.update(zip(axes, array.shape, strict=True))
    return replace(
        problem,
        batch=sizes.get("batch", problem.batch),
        in_channels=sizes.get("in_channels", problem.in_channels),
        out_channels=sizes.get("out_channels", problem.out_channels),
    )


def _call(
    target: str,
    which: Pass,
    problem: Problem,
    shape: tuple[int, ...],
    operands: tuple[Array, ...],
    attributes: dict[str, bool | np.int64],
) -> Array:
    # Where oneDNN has no good code for the type on this processor, float32 around it; Winograd's
    # and Fourier transforms are in float32.
    by_onednn = attributes.get("winograd") is False
    narrow = by_onednn and ENGINE.implementation(problem, which).code > Code.NONE
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
