"""Products of Fourier transforms in compiled code on the CPU (`native/src/fft_convolution.cc`)."""

import functools

from cnnlab.ops.algorithms import causal, fft, native
from cnnlab.ops.algorithms.base import Algorithm, on_the_cpu
from cnnlab.ops.fft import transform_lengths
from cnnlab.ops.native import ENGINE, convolve_by_fft
from cnnlab.ops.problem import Pass, Problem

_MOST = 16  # products of a group's input and output channels: each takes a vector of groups


def refusal(problem: Problem) -> str | None:
    if problem.rank != 1:
        return f"it has {problem.rank} spatial axes, not 1"
    inside = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    if inside[0] * inside[1] > _MOST:
        return f"its groups have {inside[0]} x {inside[1]} channels, more than {_MOST} products"
    return native.refusal(problem)


def _nanoseconds(problem: Problem, which: Pass) -> float:
    # The lanes of two vectors are channels of different groups.
    lanes = 32 if ENGINE.wide() else 16
    filled = problem.groups / (-(-problem.groups // lanes) * lanes)
    rate = 14.0 if causal.causal(problem) and which != "kernel_gradient" else 17.0
    return fft.cost(problem, transform_lengths(problem), 1) / (rate * filled)


NATIVE_FFT = Algorithm(
    name="native_fft",
    source="A 6.3; causal: van der Hoeven (2002)",
    refusal=refusal,
    errors="the largest entry of the map; causal: of what came before",
    forward=functools.partial(convolve_by_fft, "forward"),
    input_gradient=functools.partial(convolve_by_fft, "input_gradient"),
    kernel_gradient=functools.partial(convolve_by_fft, "kernel_gradient"),
    nanoseconds=on_the_cpu(_nanoseconds),
    rounding=fft.FFT.rounding,
    domain=fft.FFT.domain,
    fourier=True,
    portable=False,
    unavailable=ENGINE.refusal,
    multiply_adds=fft.FFT.multiply_adds,
    extra_memory=fft.FFT.extra_memory,
)
