"""A layer's Jacobian: the matrix of a linear one, and what depends on what."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def jacobian_matrix(
    function: Callable[[Array], Array], x: Float[Array, "..."] | Sequence[int]
) -> Float[np.ndarray, "outputs inputs"]:
    """`d vect(f(x)) / d vect(x)`, both sides vectorised in row-major order (A 1.3).

    **Arguments:** `x`, where it is taken: an array, or a shape, which means zeros: for a linear
    function (an affine one, too) the matrix is the same everywhere.
    """
    at = jnp.zeros(tuple(x)) if isinstance(x, Sequence) else x
    flat = lambda v: function(v.reshape(at.shape)).reshape(-1)
    wide = math.prod(jax.eval_shape(function, at).shape) < at.size
    derivative = jax.jacrev if wide else jax.jacfwd
    return np.asarray(jax.jit(derivative(flat))(at.reshape(-1)))
