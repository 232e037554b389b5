"""The native engine's max-pooling inside a JAX program."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnnlab.ops.native.engine import ENGINE
from cnnlab.ops.native.partition import over_batch
from cnnlab.ops.window import Window


def pools(dtype: np.dtype) -> bool:
    """Whether the engine is in use and pools numbers of a type."""
    return dtype in (np.float32, jnp.bfloat16) and ENGINE.refusal() is None


def max_pool(
    x: Float[Array, "n *spatial c"], window: Window
) -> tuple[Float[Array, "n *out c"], UInt8[Array, "n *out c"]]:
    """The largest entry of each window, and its number there."""

    def run(x: Array) -> tuple[Array, Array]:
        shape = (x.shape[0], *window.output_shape(x.shape[1:-1]), x.shape[-1])
        results = [jax.ShapeDtypeStruct(shape, d) for d in (x.dtype, np.uint8)]
        largest, index = jax.ffi.ffi_call("cnnlab_max_pool", results)(x, **_attributes(window))
        return largest, index

    return over_batch(run, (x.ndim,), (x.ndim, x.ndim), split=(0,))(x)


def max_pool_gradient(
    dy: Float[Array, "n *out c"],
    index: UInt8[Array, "n *out c"],
    window: Window,
    spatial: tuple[int, ...],
) -> Float[Array, "n *spatial c"]:
    """Every entry of `dy` to where its window's largest entry was."""

    def run(dy: Array, index: Array) -> Array:
        like = jax.ShapeDtypeStruct((dy.shape[0], *spatial, dy.shape[-1]), dy.dtype)
        call = jax.ffi.ffi_call("cnnlab_max_pool_gradient", like)
        return call(dy, index, **_attributes(window))

    return over_batch(run, (dy.ndim, dy.ndim), dy.ndim, split=(0, 1))(dy, index)


def _attributes(window: Window) -> dict[str, np.ndarray]:
    low = [low for low, _ in window.pads]
    values = {"window": window.size, "stride": window.stride, "low": low}
    return {name: np.array(v, np.int64) for name, v in values.items()}
