"""Products of Fourier transforms (A 6.3): for kernels long enough to pay for the transforms."""

import jax.numpy as jnp

from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.fft import spectral
from cnnlab.ops.geometry import Problem


def _refusal(problem: Problem) -> str | None:
    if not jnp.issubdtype(problem.dtype, jnp.inexact):
        return f"Fourier transforms need floating-point numbers, not {problem.dtype}"
    return None


FFT = Algorithm("fft", "A 6.3", _refusal, spectral)
