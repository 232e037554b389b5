"""Convolutions of JAX's by the algorithms of `cnnlab.ops`."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jaxtyping import Array

from cnnlab.accelerate.recognition import recognise
from cnnlab.accelerate.service import PLATFORM, Service, left
from cnnlab.ops import REFERENCE
from cnnlab.ops.choice import check, choose
from cnnlab.ops.problem import Problem
from cnnlab.ops.table import key

_WIDE = 2**16  # entries of a kernel


def serve(lhs: ShapedArray, rhs: ShapedArray, **parameters: Any) -> Service:
    """Of `conv_general_dilated`."""
    reading = recognise(lhs, rhs, **parameters)
    if isinstance(reading, str):
        return left(f"convolution of {lhs.str_short()} and {rhs.str_short()}", reading)
    asked = check("direct" if reading.direct else "auto", reading.problem)
    algorithm = choose(asked, reading.problem, reading.which, PLATFORM)
    name = algorithm.name
    what = f"{reading.which.replace('_', ' ')} of {key(reading.problem)}"
    if not _misread(parameters["padding"]):
        if name == REFERENCE:
            return left(what, "nothing is faster")
        if asked == "auto" and reading.channels_first and _product_as_it_lies(reading.problem):
            return left(what, "a product of wide matrices as they lie, channels first")
    what += f" in {reading.members} parts" if reading.members > 1 else ""

    of_activations = algorithm.channels_first(reading.problem, reading.which)
    of_kernels = algorithm.outputs_first(reading.problem, reading.which)
    read = reading.channels_first if of_activations else None
    if of_activations and read:
        reading, compute, what = read, of_activations, f"{what}, channels first"
    elif of_kernels and reading.outputs_first:
        compute, what = of_kernels, f"{what}, kernel outputs first"
    else:
        compute = functools.partial(algorithm.compute, reading.which)

    def run(a: Array, b: Array, problem: Problem) -> Array:
        with jax.named_scope(f"{reading.which}_{name}"):  # for profilers
            return compute(a, b, problem)

    return Service(lambda lhs, rhs: reading.compute(lhs, rhs, run), f"{name}: {what}")


def _product_as_it_lies(problem: Problem) -> bool:
    """Whether a sequence with channels first is multiplied by so wide a matrix that XLA's product
    is as fast as the engine's, and its kernel's gradient up to twice as fast."""
    wide = problem.in_channels * problem.out_channels >= _WIDE
    plain = problem.rank == 1 and problem.stride == (1,) and problem.groups == 1
    return plain and problem.taps == 1 and wide


def _misread(padding: Sequence[tuple[int, int]]) -> bool:
    """Whether jaxlib 0.10.1 reads, on the CPU, what is not the input's: entries taken away before,
    and padding after. cnnlab takes them away first (`ops/algorithms/lax.py`)."""
    return any(low < 0 < high for low, high in padding)
