"""The number type that sums are accumulated in."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array


def accumulation_dtype(dtype: DTypeLike) -> np.dtype:
    """float32 for 16-bit (and smaller) floats, otherwise `dtype` itself."""
    dtype = np.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
        return np.dtype(np.float32)
    return dtype


def last_axes(v: Array, ndim: int) -> Array:
    """`v` with axes of size 1 before its own, which NumPy would imply: as many as `ndim` asks for.

    Said where it is meant, so that `jax_numpy_rank_promotion=raise` finds what is not.
    """
    return v.reshape((1,) * (ndim - v.ndim) + v.shape)


def add_bias(y: Array, bias: Array) -> Array:
    """`y + bias` in the type of `y`; the transpose in the bias sums in `accumulation_dtype`.

    XLA's sums of 16-bit floats on the CPU are ten times as slow as those of float32.
    """
    wide = accumulation_dtype(y.dtype)
    return (y.astype(wide) + last_axes(bias, y.ndim).astype(wide)).astype(y.dtype)


def product(spec: str, a: Array, b: Array) -> Array:
    """`einsum` of two arrays of one type in that type, sums accumulated in `accumulation_dtype`."""
    y = jnp.einsum(spec, a, b, preferred_element_type=accumulation_dtype(a.dtype))
    return y.astype(a.dtype)
