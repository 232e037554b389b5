"""What each tap of the kernel reads, as a slice of the padded input."""

import itertools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.problem import Problem


def pad_input(x: Array, problem: Problem) -> Array:
    """`x` with the problem's zeros around it."""
    return jnp.pad(x, ((0, 0), *problem.padding, (0, 0)))


def tap_slices(padded: Array, problem: Problem) -> list[Array]:
    """For each tap in row-major order, the entries it meets: `(batch, *out, c_in)` each."""
    slices = []
    for tap in itertools.product(*(range(k) for k in problem.kernel_size)):
        starts = [t * d for t, d in zip(tap, problem.dilation, strict=True)]
        zipped = zip(starts, problem.out, problem.stride, strict=True)
        stops = [start + (n - 1) * s + 1 for start, n, s in zipped]
        low, high = (0, *starts, 0), (padded.shape[0], *stops, padded.shape[-1])
        slices.append(lax.slice(padded, low, high, (1, *problem.stride, 1)))
    return slices
