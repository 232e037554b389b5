"""Patches as columns and back (A 2.2, A 6.2), and layers without weight sharing (A 2.4)."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Num

from cnnlab.arguments import takes_arrays, to_tuple
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.window import Ints, Padding, Window, on_grid


@takes_arrays
def unfold(
    x: Num[Array, "*shape c"],
    window: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = "VALID",
    dilation: Ints = 1,
) -> Num[Array, "*out patch"]:
    """Every window of `x` as one column: `vect(P)` of A 2.4 and A 6.2, zeros outside `x`.

    **Arguments:**

    - `x`: `(*batch, *spatial, c)`.
    - `window`: window size, one int per spatial axis.

    **Returns:** `(*batch, *out, prod(window) * c)`: window positions in row-major order, channels
    last, so that a kernel `(*window, c, c_out)` reshaped to `(prod(window) * c, c_out)` fits.

    **Raises:** `ValueError`: a bad argument, or a window that does not fit.
    """
    return _columns(x, Window.over(x.ndim, window, stride, padding, dilation))


def _columns(x: Array, window: Window) -> Array:
    rank, spatial = window.rank, window.spatial(x.shape)
    out = window.output_shape(spatial)
    x = jnp.pad(x, ((0, 0),) * (x.ndim - rank - 1) + window.at(spatial).pads + ((0, 0),))
    index = tuple(on_grid(reads, axis, rank) for axis, reads in enumerate(window.reads(out)))
    # All entries are inside the padded array.
    columns = x.at[(..., *index, slice(None))].get(mode="promise_in_bounds")
    return columns.reshape(*columns.shape[: -rank - 1], window.taps * x.shape[-1])


@takes_arrays
def fold(
    patches: Inexact[Array, "*out patch"],
    shape: Sequence[int],
    window: Sequence[int],
    *,
    stride: Ints = 1,
    padding: Padding = "VALID",
    dilation: Ints = 1,
) -> Inexact[Array, "*shape c"]:
    """Put columns back where `unfold` took them, adding where windows overlap (A 6.2).

    The exact adjoint of `x -> unfold(x, window, ...)`: `<unfold(x), p> = <x, fold(p)>`.

    **Arguments:**

    - `patches`: `(*batch, *out, prod(window) * c)`, as `unfold` gives them.
    - `shape`: spatial shape of the result.

    **Returns:** `(*batch, *shape, c)`.

    **Raises:** `ValueError`: `patches` is not what `unfold` gives for `shape`.
    """
    sliding = Window.over(patches.ndim, window, stride, padding, dilation)
    shape = to_tuple("shape", shape, sliding.rank)
    out, got = sliding.output_shape(shape), sliding.spatial(patches.shape)
    if got != out:
        raise ValueError(f"patches: expected {out} windows for shape {shape}, got {got}")
    channels, rest = divmod(patches.shape[-1], sliding.taps)
    if rest or not channels:
        raise ValueError(
            f"patches: expected a multiple of {sliding.taps} on the last axis, "
            f"got {patches.shape[-1]}"
        )
    # Overlaps are sums, so half precision adds in float32.
    wide = patches.astype(accumulation_dtype(patches.dtype))
    batch = patches.shape[: -sliding.rank - 1]
    like = jax.ShapeDtypeStruct((*batch, *shape, channels), wide.dtype)
    (x,) = jax.linear_transpose(lambda x: _columns(x, sliding), like)(wide)
    return x.astype(patches.dtype)


@takes_arrays
def local_conv(
    x: Num[Array, "*shape c"],
    weights: Num[Array, "*positions patch c_out"],
    *,
    window: Ints,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
) -> Num[Array, "*out c_out"]:
    """Locally-connected layer: `H_ij = W_ij vect(P_ij)`, each pixel with its own matrix (A 2.4).

    **Arguments:**

    - `x`: `(*batch, *spatial, c)`.
    - `weights`: `(*out, prod(window) * c, c_out)`; the rank says how many axes are spatial.
    - `window`: window size, an int or one per axis.

    **Returns:** `(*batch, *out, c_out)`.

    **Raises:** `ValueError`: a bad argument, or weights of another shape.
    """
    rank = weights.ndim - 2
    if rank < 1:
        raise ValueError(
            f"weights: expected (*out, prod(window) * c, c_out), got shape {weights.shape}"
        )
    sizes = to_tuple("window", window, rank)
    sliding = Window.over(x.ndim, sizes, stride, padding, dilation)
    dtype = jnp.result_type(x, weights)
    patches = _columns(x.astype(dtype), sliding)
    expected = patches.shape[-rank - 1 :]
    if weights.shape[:-1] != expected:
        raise ValueError(
            f"weights: expected shape {(*expected, weights.shape[-1])}, got {weights.shape}"
        )
    # Mapped, not one `einsum`, of which XLA for CPUs can't run the products of 16-bit numbers.
    each = functools.partial(jnp.matmul, preferred_element_type=accumulation_dtype(dtype))
    batch = patches.ndim - rank - 1
    for _ in range(rank):
        each = jax.vmap(each, (batch, 0), batch)
    return each(patches, weights.astype(dtype)).astype(dtype)
