"""Products of Fourier transforms in compiled code on the CPU (`native/src/fft_convolution.cc`).

What has more than one spatial axis is computed as sequences (`unrolled`).
"""

import math

from jaxtyping import Array

from cnnlab.ops.algorithms import causal, fft, native, reach
from cnnlab.ops.algorithms.base import Algorithm, Map, on_the_cpu
from cnnlab.ops.algorithms.unrolled import sequence, unrolled
from cnnlab.ops.fft import transform_lengths
from cnnlab.ops.native import ENGINE, convolve_by_fft
from cnnlab.ops.problem import Pass, Problem

_FEW = 16  # products of a group's input and output channels
_DIRECT = 12  # entries of the pieces of a causal convolution that are summed tap by tap


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
    pieces = causal.causal(problem) and which != "kernel_gradient"
    # Where a group has few channels, the lanes of two vectors are of different groups.
    products = problem.in_channels * problem.out_channels / problem.groups**2
    lanes = 32 if ENGINE.wide() else 16
    filled = problem.groups / (-(-problem.groups // lanes) * lanes)
    rate = 9.0 if images else 14.0 if pieces else 17.0
    across = fft.cost(problem, transform_lengths(problem), 1) / (rate * filled)
    # Or they are of one: then each frequency has a product of matrices.
    within = _by_matrices(problem, pieces) / (0.4 if images else 0.6)
    return min(across, within) if products <= _FEW else within


def _by_matrices(problem: Problem, pieces: bool) -> float:
    """Cycles of a dense convolution, about as `fft_cuts.cc` cuts it."""
    (extent,), (n,), (stride,) = problem.window.extent, problem.out, problem.stride
    n, products = (n - 1) * stride + 1, problem.in_channels * problem.out_channels / problem.groups

    def cut(period: int, step: int) -> float:
        """Of transforms that long, a block for every `step` results."""
        blocks = problem.batch * math.ceil(n / step)
        lines = blocks * (problem.in_channels + problem.out_channels) + products
        return period * (lines * (math.log2(period) / 8 + 0.5) + blocks * products * 0.15)

    if not pieces:
        shortest = math.ceil(math.log2(extent)) + 1
        periods = [2**i for i in range(shortest, max(shortest, (n + extent).bit_length()) + 1)]
        return min(cut(period, period - extent + 1) for period in periods)
    total, size = problem.batch * n * products * 0.06 * min(_DIRECT, extent), _DIRECT
    while size < min(n, extent):
        total += cut(2 * size, 2 * size)
        size *= 2
    return total + (cut(2 * size, size) if size < n else 0)


NATIVE_FFT = Algorithm(
    name="native_fft",
    source="A 6.3; causal: van der Hoeven (2002)",
    refusal=native.refusal,
    errors="the largest entry of the map (of a causal one: of what came before)",
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
