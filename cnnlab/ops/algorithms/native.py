"""Compiled convolutions on the CPU (`cnnlab/ops/native`): oneDNN's, and loops of our own."""

import functools
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm, Map, on_the_cpu
from cnnlab.ops.native import ENGINE, Code, convolve, convolve_bias, convolve_channels_first
from cnnlab.ops.problem import Pass, Problem

# float16 is converted to float32 and back.
_DTYPES = [np.dtype(d) for d in (np.float32, jnp.bfloat16, np.float16)]
_LARGEST = 2**31 - 1
_TILE = 2**18  # bytes, unless a row and its kernel are longer
_MOST_TERMS = 2048  # of a sum, whose factors at 64 positions stay in a cache


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


def code(problem: Problem, which: Pass) -> Code:
    """What would compute a pass; in float32 where there is nothing for a narrower type."""
    if which == "forward":
        problem = replace(problem, groups=problem.groups // _together(problem))
    if which == "input_gradient":
        problem = _lengthened(problem)
    wide = replace(problem, dtype=np.dtype(np.float32))
    return ENGINE.implementation(problem, which).code or ENGINE.implementation(wide, which).code


def _lengthened(problem: Problem) -> Problem:
    """Volumes whose lengths are multiples of the stride: of others oneDNN has no compiled code for
    the input's gradient. What is added takes the place of padding, or no window reads it."""
    more = [-n % stride for n, stride in zip(problem.spatial, problem.stride, strict=True)]
    if problem.rank < 3 or problem.taps == 1 or not any(more):
        return problem
    spatial = tuple(n + m for n, m in zip(problem.spatial, more, strict=True))
    pads = zip(problem.padding, more, strict=True)
    pads = tuple((low, max(0, high - m)) for (low, high), m in pads)
    window = replace(problem.window, padding=pads)
    if window.output_shape(spatial) != problem.out:
        return problem
    return replace(problem, spatial=spatial, window=window)


def _together(problem: Problem) -> int:
    """How many groups the forward pass computes as one: as few as oneDNN has compiled code for.

    It has none for most groups of less than 8 channels, and with 8 the zeros between them cost
    less than that. (Times infinity they are NaN, in groups that the infinity is not of.)
    """
    if problem.groups == 1 or ENGINE.refusal() is not None:
        return 1
    for n in (1, 2, 4, 8):
        merged = replace(problem, groups=problem.groups // n, dtype=np.dtype(np.float32))
        found = ENGINE.implementation(merged, "forward").code if problem.groups % n == 0 else 0
        if found >= Code.COMPILED:
            return n
    return 1


def _merged(kernel: Array, problem: Problem) -> tuple[Array, Problem]:
    """The kernel, `(*kernel_size, c_in / groups, c_out)`, of fewer groups: zero between those that
    were."""
    n = _together(problem)
    if n == 1:
        return kernel, problem
    *size, rows, c_out = kernel.shape
    columns = kernel.reshape(*size, 1, rows, problem.groups // n, n, c_out // problem.groups)
    own = jnp.eye(n, dtype=bool)[:, None, None, :, None]
    wide = jnp.where(own, columns, 0).reshape(*size, n * rows, c_out)
    return wide, replace(problem, groups=problem.groups // n)


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    kernel, problem = _merged(kernel, problem)
    return convolve("forward", x, kernel, problem)


def _input_gradient(
    dy: Array, kernel: Array, problem: Problem, *, outputs_first: bool = False
) -> Array:
    whole = _lengthened(problem)
    dx = convolve("input_gradient", dy, kernel, whole, outputs_first=outputs_first)
    return jax.lax.slice(dx, (0,) * dx.ndim, problem.x_shape)


def _outputs_first(problem: Problem, which: Pass) -> Map | None:
    """The engine reads and writes kernels that lie so, but for those of groups, which are turned
    around in more steps than one."""
    if problem.groups > 1:
        return None
    if which == "input_gradient":
        return functools.partial(_input_gradient, outputs_first=True)
    return functools.partial(convolve, which, outputs_first=True)


def _fused(x: Array, kernel: Array, bias: Array, problem: Problem, activation: str | None) -> Array:
    kernel, problem = _merged(kernel, problem)
    # Our own loops have no GELU.
    own = ENGINE.implementation(problem, "forward").code == Code.OWN_DEPTHWISE
    inside = None if own and activation == "gelu" else activation
    y = convolve_bias(x, kernel, bias, problem, inside)
    return y if inside == activation else jax.nn.gelu(y)


def _channels_first(problem: Problem, which: Pass) -> Map | None:
    """Of sequences; the engine reads them as they lie."""
    terms = problem.taps * max(problem.in_channels, problem.out_channels)
    plain = problem.rank == 1 and problem.stride == (1,) and problem.groups == 1
    if not plain or terms > _MOST_TERMS or problem.dtype != np.float32:
        return None
    return functools.partial(convolve_channels_first, which)


def _extra_memory(problem: Problem) -> int:
    """A reordered copy of the kernel; the activations stay as they are, but for a tile a thread."""
    if ENGINE.refusal() is None and code(problem, "forward") == Code.OWN_DEPTHWISE:
        return 4 * int(np.prod(problem.kernel_shape)) + _TILE * ENGINE.threads()
    together = _together(problem)
    copies = 1 if together == 1 else 2 * together  # of fewer groups, then reordered
    return copies * int(np.prod(problem.kernel_shape)) * problem.dtype.itemsize


def _direct(problem: Problem, which: Pass, platform: str) -> bool:
    del platform
    return which != "forward" or _together(problem) == 1


def _nanoseconds(problem: Problem, which: Pass) -> float:
    """Only with code made for the shape; oneDNN's general fall-back is slower than XLA."""
    found = code(problem, which)
    if found < (Code.DEPTHWISE if problem.depthwise else Code.COMPILED):
        return math.inf
    if found == Code.OWN_DEPTHWISE:
        rate = 50.0
    elif problem.depthwise:
        rate = {"forward": 25.0, "input_gradient": 22.0, "kernel_gradient": 7.0}[which]
    else:
        # A processor that multiplies 16-bit floats is faster at that than at what does less
        # arithmetic in float32.
        narrow = problem.dtype.itemsize < 4 and ENGINE.implementation(problem, which).code
        rate = 100.0 if narrow and ENGINE.wide() else 20.0
    return problem.multiply_adds / rate


NATIVE = Algorithm(
    name="native",
    source="oneDNN, through XLA's foreign function interface",
    refusal=refusal,
    forward=_forward,
    errors=f"{OWN_SUM}; groups of few channels share NaN and infinities",
    nanoseconds=on_the_cpu(_nanoseconds),
    direct=_direct,
    input_gradient=_input_gradient,
    kernel_gradient=functools.partial(convolve, "kernel_gradient"),
    fused=_fused,
    channels_first=_channels_first,
    outputs_first=_outputs_first,
    portable=False,
    unavailable=ENGINE.refusal,
    multiply_adds=lambda problem: problem.multiply_adds,
    extra_memory=_extra_memory,
)
