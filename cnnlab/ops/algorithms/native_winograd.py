"""Minimal filtering F(4, 3) in compiled code on the CPU (`cnnlab/ops/native/src/winograd.cc`)."""

import dataclasses
import functools
import math

import jax
from jaxtyping import Array

from cnnlab.ops.algorithms import native, winograd
from cnnlab.ops.algorithms.base import Algorithm, on_the_cpu
from cnnlab.ops.native import ENGINE, convolve, convolve_bias
from cnnlab.ops.problem import Pass, Problem

_LANES = 8  # channels that the transforms take at a time
_THREADS_AND_BLOCK = 2**22  # bytes beside the transformed kernel: tiles under way, by all threads


def refusal(problem: Problem) -> str | None:
    if problem.rank != 2:
        return f"it has {problem.rank} spatial axes, not 2"
    if problem.in_channels % _LANES or problem.out_channels % _LANES:
        channels = f"{problem.in_channels} and {problem.out_channels}"
        return f"its channels are {channels}, not multiples of {_LANES}"
    return winograd.WINOGRAD.refusal(problem) or native.refusal(problem)


def _fused(x: Array, kernel: Array, bias: Array, problem: Problem, activation: str | None) -> Array:
    inside = None if activation == "gelu" else activation
    y = convolve_bias(x, kernel, bias, problem, inside, winograd=True)
    return jax.nn.gelu(y) if activation == "gelu" else y


def _nanoseconds(problem: Problem, which: Pass) -> float:
    return winograd.WINOGRAD.multiply_adds(problem) / 20.0 if winograd.pays(problem) else math.inf


NATIVE_WINOGRAD = Algorithm(
    name="native_winograd",
    source="arXiv 1509.09308",
    refusal=refusal,
    errors=winograd.WINOGRAD.errors,
    forward=functools.partial(convolve, "forward", winograd=True),
    input_gradient=functools.partial(convolve, "input_gradient", winograd=True),
    kernel_gradient=functools.partial(convolve, "kernel_gradient", winograd=True),
    fused=_fused,
    outputs_first=lambda problem, which: functools.partial(
        convolve, which, winograd=True, outputs_first=True
    ),
    nanoseconds=on_the_cpu(_nanoseconds),
    rounding=winograd.WINOGRAD.rounding,
    domain=dataclasses.replace(winograd.WINOGRAD.domain, lanes=_LANES),
    portable=False,
    unavailable=ENGINE.refusal,
    multiply_adds=winograd.WINOGRAD.multiply_adds,
    extra_memory=lambda p: 36 * math.prod(p.kernel_shape[-2:]) * 4 + _THREADS_AND_BLOCK,
)
