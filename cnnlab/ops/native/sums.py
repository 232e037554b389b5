"""The native engine's sums inside a JAX program."""

import jax
import numpy as np
from jaxtyping import Array, Float

from cnnlab.ops.native.engine import ENGINE
from cnnlab.ops.native.partition import in_parts


def adds(dtype: np.dtype) -> bool:
    """Whether the engine is in use and adds numbers of a type."""
    return dtype == np.float32 and ENGINE.refusal() is None


def sums(x: Float[Array, "*axes"], each: int, first: int, last: int) -> Float[Array, "*left"]:
    """Over all axes but the first `each` and those from `first` to `last - 1`."""
    names = [f"axis{i}" for i in range(x.ndim)]
    kept = (*names[:each], *names[first:last])
    attributes = {"each": each, "first": first, "last": last}

    def run(x: Array) -> Array:
        shape = (*x.shape[:each], *x.shape[first:last])
        call = jax.ffi.ffi_call("cnnlab_sums", jax.ShapeDtypeStruct(shape, x.dtype))
        return call(x, **{name: np.int64(n) for name, n in attributes.items()})

    return in_parts(run, (names,), (kept,), names)(x)
