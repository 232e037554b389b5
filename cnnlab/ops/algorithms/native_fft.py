"""Products of Fourier transforms in compiled code on the CPU (`native/src/fft_convolution.cc`).

What has more than one spatial axis is computed as sequences (`unrolled`).
"""

from jaxtyping import Array

from cnnlab.ops.algorithms import causal, fft, native, reach
from cnnlab.ops.algorithms.base import Algorithm, Map, on_the_cpu
from cnnlab.ops.algorithms.unrolled import sequence, unrolled
from cnnlab.ops.fft import transform_lengths
from cnnlab.ops.native import ENGINE, convolve_by_fft
from cnnlab.ops.problem import Pass, Problem

_MOST = 16  # products of a group's input and output channels: each takes a vector of groups


def refusal(problem: Problem) -> str | None:
    inside = problem.in_channels // problem.groups, problem.out_channels // problem.groups
    if inside[0] * inside[1] > _MOST:
        return f"its groups have {inside[0]} x {inside[1]} channels, more than {_MOST} products"
    return native.refusal(problem)


def _map(which: Pass) -> Map:
    images = unrolled(which, convolve_by_fft)
    # Of sequences the compiled code does that by itself.
    if which == "forward":
        images = reach.forward_within(images)
    elif which == "input_gradient":
        images = reach.input_gradient_within(images)

    def run(a: Array, b: Array, problem: Problem) -> Array:
        return convolve_by_fft(which, a, b, problem) if problem.rank == 1 else images(a, b, problem)

    return run


def _sequence(problem: Problem) -> Problem:
    return problem if problem.rank == 1 else sequence(problem)


def _nanoseconds(problem: Problem, which: Pass) -> float:
    images = problem.rank > 1  # with copies before and after
    problem = _sequence(problem)
    # The lanes of two vectors are channels of different groups.
    lanes = 32 if ENGINE.wide() else 16
    filled = problem.groups / (-(-problem.groups // lanes) * lanes)
    pieces = causal.causal(problem) and which != "kernel_gradient"
    rate = 9.0 if images else 14.0 if pieces else 17.0
    return fft.cost(problem, transform_lengths(problem), 1) / (rate * filled)


NATIVE_FFT = Algorithm(
    name="native_fft",
    source="A 6.3; causal: van der Hoeven (2002)",
    refusal=refusal,
    errors="the largest entry of the map; causal: of what came before",
    forward=_map("forward"),
    input_gradient=_map("input_gradient"),
    kernel_gradient=_map("kernel_gradient"),
    nanoseconds=on_the_cpu(_nanoseconds),
    rounding=fft.FFT.rounding,
    domain=fft.FFT.domain,
    fourier=True,
    portable=False,
    unavailable=ENGINE.refusal,
    multiply_adds=lambda problem: fft.FFT.multiply_adds(_sequence(problem)),
    extra_memory=lambda problem: fft.FFT.extra_memory(_sequence(problem)),
)
