"""Weight tying (B 10.1.5): a convolution as a locally connected layer whose weights are copies."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float


def copies(
    kernel: Float[Array, "*window c c_out"], out: Sequence[int]
) -> Float[Array, "*out patch c_out"]:
    """The kernel at every output position: the weights of the locally connected layer (A 2.4) that
    is the convolution.

    **Arguments:** `out`: the spatial shape of the output.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return jnp.broadcast_to(matrix, (*out, *matrix.shape))


def pooled(gradient: Float[Array, "*out patch c_out"], rank: int) -> Float[Array, "patch c_out"]:
    """The sum over all positions of the gradients of the copies: the chain rule for a parameter
    that is used many times.

    **Arguments:** `rank`: how many of the first axes are positions.
    """
    return gradient.sum(tuple(range(rank)))


def tie(gradient: Float[Array, "*out patch c_out"], rank: int) -> Float[Array, "*out patch c_out"]:
    """The pooled gradient in place of each copy's own."""
    return jnp.broadcast_to(pooled(gradient, rank), gradient.shape)


def spread(weights: Float[Array, "*out patch c_out"], rank: int) -> float:
    """By how much copies of a weight differ, at most: 0 where all are tied."""
    flat = weights.reshape(math.prod(weights.shape[:rank]), -1)
    return float((flat.max(0) - flat.min(0)).max())
