"""Orthogonal matrices: random ones, what they do to inputs and to a first layer (B 10.2).

Rows are examples: `R` maps an input, a column `x`, to `R x`, so that a batch `X` becomes `X R^T`.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import expm

from cnnlab.ops import toeplitz_matrix


def random_orthogonal(
    rng: np.random.Generator, n: int, d: int, *, determinant: int | None = None
) -> Float[np.ndarray, "n d d"]:
    """`n` matrices of O(d) from Haar's measure: `Q` of a Gaussian matrix's `Q R`, with the signs
    that make `R`'s diagonal positive (Mezzadri, 2007, arXiv:math-ph/0609050).

    **Arguments:** `determinant`, 1 or -1 for that half of O(d) alone; None for both.

    **Raises:** `ValueError`: another determinant.
    """
    if determinant not in (None, 1, -1):
        raise ValueError(f"determinant: expected 1, -1 or None, got {determinant!r}")
    q, r = np.linalg.qr(rng.standard_normal((n, d, d)))
    q = q * np.where(np.diagonal(r, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, None, :]
    if determinant is not None:
        # A reflection carries one half to the other, and Haar's measure with it.
        q[:, :, 0] *= (determinant * np.linalg.det(q).round())[:, None]
    return q


def block_diagonal(rng: np.random.Generator, n: int, d: int, p: int) -> Float[np.ndarray, "n d d"]:
    """`n` matrices that rotate the first `p` coordinates among themselves, and the others too."""
    r = np.zeros((n, d, d))
    r[:, :p, :p] = random_orthogonal(rng, n, p)
    r[:, p:, p:] = random_orthogonal(rng, n, d - p)
    return r


def random_skew(
    rng: np.random.Generator,
    n: int,
    d: int,
    *,
    p: int | None = None,
    within: float | Float[np.ndarray, " n"] = 1.0,
) -> Float[np.ndarray, "n d d"]:
    """`n` antisymmetric Gaussian matrices: the directions in which a rotation can move.

    **Arguments:** `within`, a factor (one for all, or one each) on the two diagonal blocks, which
    turn `p` and `d - p` coordinates among themselves; 0 leaves the part that mixes them.
    """
    half = np.triu(rng.standard_normal((n, d, d)), 1)
    skew = half - np.swapaxes(half, 1, 2)
    if p is None:
        return skew
    first = np.arange(d) < p
    return skew * np.where(first[:, None] == first, np.reshape(within, (-1, 1, 1)), 1.0)


def plane_skew(n: int, d: int, i: int, j: int) -> Float[np.ndarray, "n d d"]:
    """`n` times the direction that turns coordinate `i` towards coordinate `j`, alone."""
    skew = np.zeros((n, d, d))
    skew[:, j, i], skew[:, i, j] = 1.0, -1.0
    return skew


def move(
    start: Float[np.ndarray, "n d d"], skew: Float[np.ndarray, "n d d"]
) -> Float[np.ndarray, "n d d"]:
    """`exp(S) R`: the end of the geodesic of O(d) that leaves `R` in the direction `S`."""
    return expm(skew) @ start


def frobenius(
    a: Float[np.ndarray, "*#n d e"], b: Float[np.ndarray, "*#n d e"]
) -> Float[np.ndarray, "..."]:
    """`||A - B||_F` of each pair."""
    return np.sqrt(np.square(a - b).sum((-2, -1)))


def rotate(
    x: Float[np.ndarray, "n ..."], r: Float[np.ndarray, "d d"]
) -> Float[np.ndarray, "n ..."]:
    """`R vect(x)` of every example, in the shape of `x`, float64."""
    return (x.reshape(len(x), -1) @ r.T).reshape(x.shape)


def rotated_dense(weight: Float[Array, "d n"], r: Float[np.ndarray, "d d"]) -> Float[Array, "d n"]:
    """The dense layer that does to `R x` what this one does to `x`.

    With `W` as the chapter writes it, outputs by inputs: `W R^T`, for `W R^T R x = W x`. Here
    `weight` is `W^T`, inputs by outputs, and becomes `R W^T`.
    """
    return jnp.asarray(r, weight.dtype) @ weight


def nearest_convolution(
    kernel: Float[Array, "*window c_in c_out"],
    r: Float[np.ndarray, "d d"],
    in_shape: Sequence[int],
    *,
    stride: int | tuple[int, ...] = 1,
) -> tuple[Float[Array, "*window c_in c_out"], float]:
    """The convolution that comes closest to doing to `R x` what this one does to `x`, and how far
    it stays away: the Frobenius norm of what is missing, over that of the whole matrix.

    The target is `T R^T` with `T` the matrix of the kernel (padding SAME); what is returned is its
    orthogonal projection on the convolutions' matrices. They are spanned by one matrix of ones and
    zeros for each entry of the kernel, and these do not overlap: the projection's entries are the
    means of `T R^T` over them.

    **Arguments:** `in_shape`, `(*spatial, c_in)`, whose product is `d`.

    **Raises:** `ValueError`: another product.
    """
    if math.prod(in_shape) != r.shape[0]:
        raise ValueError(f"in_shape: expected {r.shape[0]} values, got {tuple(in_shape)}")
    nearest, missing = _project(kernel, jnp.asarray(r, kernel.dtype), tuple(in_shape), stride)
    return nearest, float(missing)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _project(
    kernel: Array, r: Array, in_shape: tuple[int, ...], stride: int | tuple[int, ...]
) -> tuple[Array, Array]:
    built = lambda k: toeplitz_matrix(k, in_shape, stride=stride)
    matrix, adjoint = jax.vjp(built, kernel)
    target = matrix @ r.T
    nearest = adjoint(target)[0] / adjoint(jnp.ones_like(target))[0]
    missing = jnp.linalg.norm(target - built(nearest))
    return nearest, missing / jnp.linalg.norm(target)
