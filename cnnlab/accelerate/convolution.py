"""Convolutions of JAX's by the algorithms of `cnnlab.ops`."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.core import ShapedArray
from jaxtyping import Array

from cnnlab.accelerate.recognition import recognise
from cnnlab.accelerate.service import PLATFORM, Service, left
from cnnlab.ops import REFERENCE
from cnnlab.ops.choice import check, choose
from cnnlab.ops.problem import Pass, Problem
from cnnlab.ops.table import key


def serve(lhs: ShapedArray, rhs: ShapedArray, **parameters: Any) -> Service:
    """Of `conv_general_dilated`."""
    reading = recognise(lhs, rhs, **parameters)
    if isinstance(reading, str):
        return left(f"convolution of {lhs.str_short()} and {rhs.str_short()}", reading)
    asked = check("direct" if reading.direct else "auto", reading.problem)
    algorithm = choose(asked, reading.problem, reading.which, PLATFORM)
    name = algorithm.name
    what = f"{reading.which.replace('_', ' ')} of {key(reading.problem)}"
    if name == REFERENCE and not _misread(parameters["padding"]):
        return left(what, "nothing is faster")
    what += f" in {reading.members} parts" if reading.members > 1 else ""

    def run(which: Pass, a: Array, b: Array, problem: Problem) -> Array:
        with jax.named_scope(f"{which}_{name}"):  # for profilers
            return algorithm.compute(which, a, b, problem)

    return Service(lambda lhs, rhs: reading.compute(lhs, rhs, run), f"{name}: {what}")


def _misread(padding: Sequence[tuple[int, int]]) -> bool:
    """Whether jaxlib 0.10.1 reads, on the CPU, what is not the input's: entries taken away before,
    and padding after. cnnlab takes them away first (`ops/algorithms/lax.py`)."""
    return any(low < 0 < high for low, high in padding)
