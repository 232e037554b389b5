"""Products of Fourier transforms (A 6.3): for kernels long enough to pay for the transforms."""

import math
from typing import TypedDict

import jax.numpy as jnp
from jaxtyping import Array

from cnnlab.ops.algorithms import causal, reach
from cnnlab.ops.algorithms.base import Algorithm, Domain, Map, on_the_cpu, transpose
from cnnlab.ops.fft import Convolved, filtered, spectral, transform_lengths
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Pass, Problem


def refusal(problem: Problem) -> str | None:
    """Why Fourier transforms cannot serve."""
    if not jnp.issubdtype(problem.dtype, jnp.inexact):
        return f"Fourier transforms need floating-point numbers, not {problem.dtype}"
    return None


def transform_cost(lengths: tuple[int, ...]) -> int:
    """Multiply-adds of one real transform, by the usual `5/2 n log2 n` flops."""
    n = math.prod(lengths)
    return math.ceil(1.25 * n * math.log2(max(n, 2)))


def spectra(problem: Problem, blocks: int) -> tuple[int, int, int]:
    """How many transforms `x`, the kernel and `y` take when `x` is cut into blocks."""
    kernel = problem.in_channels * problem.out_channels // problem.groups
    return (
        blocks * problem.batch * problem.in_channels,
        kernel,
        blocks * problem.batch * problem.out_channels,
    )


def cost(problem: Problem, lengths: tuple[int, ...], blocks: int) -> int:
    """Transforms, and three products for each complex one at half of the frequencies."""
    x, kernel, y = spectra(problem, blocks)
    products = y * (problem.in_channels // problem.groups) * 3 * (math.prod(lengths) // 2 + 1)
    return (x + kernel + y) * transform_cost(lengths) + products


def memory(problem: Problem, lengths: tuple[int, ...], blocks: int) -> int:
    """The three spectra: as many bytes as the real arrays they are of."""
    itemsize = accumulation_dtype(problem.dtype).itemsize
    return sum(spectra(problem, blocks)) * math.prod(lengths) * itemsize


def cost_of_pieces(problem: Problem) -> int:
    """Of a causal convolution."""
    longest, *halves = causal.pieces(problem)
    n = problem.spatial[0]
    total = cost(problem, (2 * longest,), max(-(-n // longest) - 1, 0))
    total += sum(cost(problem, (2 * half,), -(-n // (2 * half))) for half in halves)
    return total + problem.multiply_adds * min(causal.SHORT, problem.taps) // problem.taps


class Maps(TypedDict):
    """The three maps of an `Algorithm`."""

    forward: Map
    input_gradient: Map
    kernel_gradient: Map


def exact(forward: Map, convolved: Convolved = filtered) -> Maps:
    """The three maps of an algorithm whose forward pass is `forward`, such that causal results are
    causal to the bit, by pieces that `convolved` transforms, and where no window reaches there is
    zero."""

    def split(x: Array, kernel: Array, problem: Problem) -> Array:
        if causal.causal(problem):
            return causal.forward(x, kernel, problem, convolved)
        return forward(x, kernel, problem)

    def back(dy: Array, kernel: Array, problem: Problem) -> Array:
        if causal.causal(problem):
            return causal.input_gradient(dy, kernel, problem, convolved)
        return transpose(forward, "input_gradient")(dy, kernel, problem)

    return {
        "forward": reach.forward_within(split),
        "input_gradient": reach.input_gradient_within(back),
        "kernel_gradient": transpose(forward, "kernel_gradient"),
    }


RATE, CAUSAL_RATE = 2.0, 1.6  # multiply-adds of the formulas a nanosecond


def _nanoseconds(problem: Problem, which: Pass) -> float:
    # The kernel's gradient sums over all times: no need for pieces.
    if causal.causal(problem) and which != "kernel_gradient":
        return cost_of_pieces(problem) / CAUSAL_RATE
    return cost(problem, transform_lengths(problem), 1) / RATE


FFT = Algorithm(
    name="fft",
    source="A 6.3",
    refusal=refusal,
    **exact(spectral),
    errors="the largest entry of the whole map (of a causal one: of what came before)",
    multiply_adds=lambda problem: (
        cost_of_pieces(problem)
        if causal.causal(problem)
        else cost(problem, transform_lengths(problem), 1)
    ),
    extra_memory=lambda problem: memory(problem, transform_lengths(problem), 1),
    nanoseconds=on_the_cpu(_nanoseconds),
    rounding=1e-4,
    domain=Domain(long=True),
    fourier=True,
)
