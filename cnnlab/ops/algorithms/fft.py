"""Products of Fourier transforms (A 6.3): for kernels long enough to pay for the transforms."""

import math

import jax.numpy as jnp

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.fft import spectral, transform_lengths
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Problem


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


FFT = Algorithm(
    name="fft",
    source="A 6.3",
    refusal=refusal,
    forward=spectral,
    multiply_adds=lambda problem: cost(problem, transform_lengths(problem), 1),
    extra_memory=lambda problem: memory(problem, transform_lengths(problem), 1),
)
