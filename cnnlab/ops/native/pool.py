"""The native engine's max-pooling inside a JAX program."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from cnnlab.ops.native.engine import ENGINE
from cnnlab.ops.native.partition import Axes, in_parts
from cnnlab.ops.window import Window

_ALONG = ("batch", "channels")


def pools(dtype: np.dtype) -> bool:
    """Whether the engine is in use and pools numbers of a type."""
    return dtype in (np.float32, jnp.bfloat16) and ENGINE.refusal() is None


def max_pool(
    x: Float[Array, "n *spatial c"], window: Window
) -> tuple[Float[Array, "n *out c"], UInt8[Array, "n *out c"]]:
    """The largest entry of each window, and its number there."""
    out = window.output_shape(x.shape[1:-1])

    def run(x: Array) -> tuple[Array, Array]:
        shape = (x.shape[0], *out, x.shape[-1])
        results = [jax.ShapeDtypeStruct(shape, d) for d in (x.dtype, np.uint8)]
        largest, index = jax.ffi.ffi_call("cnnlab_max_pool", results)(x, **_attributes(window))
        return largest, index

    return in_parts(run, (_axes(x.shape[1:-1]),), (_axes(out),) * 2, _ALONG)(x)


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

    return in_parts(run, (_axes(dy.shape[1:-1]),) * 2, (_axes(spatial),), _ALONG)(dy, index)


def _axes(spatial: tuple[int, ...]) -> Axes:
    return ("batch", *(f"axis{i}_{n}" for i, n in enumerate(spatial)), "channels")


def _attributes(window: Window) -> dict[str, np.ndarray]:
    low = [low for low, _ in window.pads]
    values = {"window": window.size, "stride": window.stride, "low": low}
    return {name: np.array(v, np.int64) for name, v in values.items()}
