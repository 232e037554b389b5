"""Patches as columns and back (A 2.2, A 6.2), and layers without weight sharing (A 2.4)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, Num

from cnnlab.ops.arguments import shown, takes_arrays
from cnnlab.ops.geometry import Padding, on_grid, output_shape, resolve_padding, to_tuple
from cnnlab.ops.precision import accumulation_dtype


def check_window(window: Sequence[int], x_ndim: int) -> tuple[int, ...]:
    """`window` as a tuple: one size per spatial axis, at least one, no more than `x` has axes."""
    if not isinstance(window, Sequence) or isinstance(window, str) or not window:
        raise ValueError(
            f"window: expected one size per spatial axis, such as (2, 2), got {shown(window)}"
        )
    if x_ndim < len(window) + 1:
        raise ValueError(
            f"window: {len(window)} spatial axes and channels do not fit {x_ndim} array axes"
        )
    return to_tuple("window", window, len(window))


@takes_arrays
def unfold(
    x: Num[Array, "*shape c"],
    window: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
) -> Num[Array, "*out patch"]:
    """Every window of `x` as one column: `vect(P)` of A 2.4 and A 6.2, zeros outside `x`.

    Args:
        x: `(*batch, *spatial, c)`.
        window: window size, one int per spatial axis.

    Returns:
        `(*batch, *out, prod(window) * c)`: window positions in row-major order, channels last, so
        that a kernel `(*window, c, c_out)` reshaped to `(prod(window) * c, c_out)` fits.

    Raises:
        ValueError: a bad argument, or a window that does not fit.
    """
    window = check_window(window, x.ndim)
    rank = len(window)
    spatial = x.shape[-rank - 1 : -1]
    out = output_shape(spatial, window, stride=stride, padding=padding, dilation=dilation)
    pads = resolve_padding(padding, spatial, window, stride, dilation)
    stride = to_tuple("stride", stride, rank)
    dilation = to_tuple("dilation", dilation, rank)
    x = jnp.pad(x, ((0, 0),) * (x.ndim - rank - 1) + pads + ((0, 0),))
    # reads[a][o, t]: the entry that window o's tap t reads along axis a.
    sizes = zip(out, stride, window, dilation, strict=True)
    reads = [np.arange(o)[:, None] * s + np.arange(k) * d for o, s, k, d in sizes]
    index = tuple(on_grid(r, a, rank) for a, r in enumerate(reads))
    # All entries are inside the padded array.
    columns = x.at[(..., *index, slice(None))].get(mode="promise_in_bounds")
    return columns.reshape(*columns.shape[: -rank - 1], math.prod(window) * x.shape[-1])


@takes_arrays
def fold(
    patches: Inexact[Array, "*out patch"],
    shape: Sequence[int],
    window: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
) -> Inexact[Array, "*shape c"]:
    """Put columns back where `unfold` took them, adding where windows overlap (A 6.2).

    The exact adjoint of `x -> unfold(x, window, ...)`: `<unfold(x), p> = <x, fold(p)>`.

    Args:
        patches: `(*batch, *out, prod(window) * c)`, as `unfold` gives them.
        shape: spatial shape of the result.

    Returns:
        `(*batch, *shape, c)`.

    Raises:
        ValueError: `patches` is not what `unfold` gives for `shape`.
    """
    window = check_window(window, patches.ndim)
    rank = len(window)
    shape = to_tuple("shape", shape, rank)
    out = output_shape(shape, window, stride=stride, padding=padding, dilation=dilation)
    batch, got = patches.shape[: -rank - 1], patches.shape[-rank - 1 : -1]
    if got != out:
        raise ValueError(f"patches: expected {out} windows for shape {shape}, got {got}")
    channels, rest = divmod(patches.shape[-1], math.prod(window))
    if rest or not channels:
        raise ValueError(
            f"patches: expected a multiple of {math.prod(window)} on the last axis, "
            f"got {patches.shape[-1]}"
        )
    # Overlaps are sums, so half precision adds in float32.
    wide = patches.astype(accumulation_dtype(patches.dtype))
    like = jax.ShapeDtypeStruct((*batch, *shape, channels), wide.dtype)
    take = lambda x: unfold(x, window, stride=stride, padding=padding, dilation=dilation)
    (x,) = jax.linear_transpose(take, like)(wide)
    return x.astype(patches.dtype)


@takes_arrays
def local_conv(
    x: Num[Array, "*shape c"],
    weights: Num[Array, "*positions patch c_out"],
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
) -> Num[Array, "*out c_out"]:
    """Locally-connected layer: `H_ij = W_ij vect(P_ij)`, each pixel with its own matrix (A 2.4).

    Args:
        x: `(*batch, *spatial, c)`.
        weights: `(*out, prod(window) * c, c_out)`; the rank says how many axes are spatial.
        window: window size, an int or one per axis.

    Returns:
        `(*batch, *out, c_out)`.

    Raises:
        ValueError: a bad argument, or weights of another shape.
    """
    rank = weights.ndim - 2
    if rank < 1:
        raise ValueError(
            f"weights: expected (*out, prod(window) * c, c_out), got shape {weights.shape}"
        )
    window = to_tuple("window", window, rank)
    dtype = jnp.result_type(x, weights)
    patches = unfold(x.astype(dtype), window, stride=stride, padding=padding, dilation=dilation)
    expected = patches.shape[-rank - 1 :]
    if weights.shape[:-1] != expected:
        raise ValueError(
            f"weights: expected shape {(*expected, weights.shape[-1])}, got {weights.shape}"
        )
    y = jnp.einsum(
        "...k,...ko->...o",
        patches,
        weights.astype(dtype),
        preferred_element_type=accumulation_dtype(dtype),
    )
    return y.astype(dtype)
