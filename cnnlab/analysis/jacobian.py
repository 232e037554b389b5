"""A layer's Jacobian: the matrix of a linear one, and what depends on what."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnlab.analysis.geometries import random_problem
from cnnlab.ops.convolution import conv
from cnnlab.ops.toeplitz import toeplitz_matrix


def jacobian_matrix(
    function: Callable[[Array], Array], x: Float[Array, "..."] | Sequence[int]
) -> Float[np.ndarray, "outputs inputs"]:
    """`d vect(f(x)) / d vect(x)`, both sides vectorised in row-major order (A 1.3).

    **Arguments:** `x`, where it is taken: an array, or a shape, which means zeros: for a linear
    function (an affine one, too) the matrix is the same everywhere.
    """
    x = x if hasattr(x, "dtype") else jnp.zeros(tuple(x))
    flat = lambda v: function(v.reshape(x.shape)).reshape(-1)
    wide = math.prod(jax.eval_shape(function, x).shape) < x.size
    derivative = jax.jacrev if wide else jax.jacfwd
    return np.asarray(jax.jit(derivative(flat))(x.reshape(-1)))


def toeplitz_error(rng: np.random.Generator) -> tuple[str, float]:
    """A random convolution (any rank, stride, padding, dilation, groups), and the largest entry of
    the difference between its Jacobian and the matrix built from its kernel, relative to the
    kernel's largest weight."""
    p = random_problem("lax", rng)
    kernel = jnp.asarray(rng.standard_normal(p.kernel_shape), jnp.float32)
    geometry = {n: getattr(p, n) for n in ("stride", "padding", "dilation", "groups")}
    shape = p.x_shape[1:]
    built = np.asarray(toeplitz_matrix(kernel, shape, **geometry))
    jacobian = jacobian_matrix(lambda x: conv(x, kernel, algorithm="lax", **geometry), shape)
    return str(p), float(np.abs(built - jacobian).max(initial=0) / jnp.abs(kernel).max())
