"""Max-pooling as JAX primitives: the largest entry of each window, and which one it was.

    largest  x            -> y, index    y = x at the first of the largest entries of each window
    gather   (dx, index)  -> dy          the entry of that number of each window: largest's tangent
    scatter  (dy, index)  -> dx          its transpose

`index` is the entry's number in its window, in row-major order. `gather` and `scatter` are linear
in their first argument and each other's transpose, so derivatives of any order are made of them.
`lax.reduce_window`'s own gradient, `select_and_scatter`, is up to twenty times slower on the CPU.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching
from jaxtyping import Array, Float, Real, UInt8

from cnnlab.ops import native
from cnnlab.ops.lowering import register
from cnnlab.ops.primitive import abstract_result, vary_alike
from cnnlab.ops.window import Window

# The engine's index is a byte, and it has three spatial axes at most.
_MOST_ENTRIES, _MOST_AXES = 256, 3
# Without it the program names every entry: with more it takes longer to compile than it saves.
_MOST_NAMED = 64

_largest, _gather, _scatter = (Primitive(f"max_pool{name}") for name in ("", "_gather", "_scatter"))
_largest.multiple_results = True


def serves(window: Window, dtype: np.dtype) -> bool:
    """Whether a window is small enough for `largest`."""
    engine = native.pools(dtype) and window.rank <= _MOST_AXES
    return window.taps <= (_MOST_ENTRIES if engine else _MOST_NAMED)


def largest(x: Real[Array, "n *spatial c"], window: Window) -> Real[Array, "n *out c"]:
    """Maximum over windows that `serves` agrees to; a NaN is larger than any number."""
    return _largest.bind(x, window=window)[0]


def _jvp_of_largest(primals, tangents, *, window: Window):
    y, index = _largest.bind(*primals, window=window)
    zeros = [ad.Zero(jax.typeof(v).to_tangent_aval()) for v in (y, index)]
    dx = tangents[0]
    if isinstance(dx, ad.Zero):
        return [y, index], zeros
    return [y, index], [gather(dx, index, window), zeros[1]]


def gather(
    dx: Float[Array, "n *spatial c"], index: UInt8[Array, "n *out c"], window: Window
) -> Float[Array, "n *out c"]:
    """The entry of a number of each window."""
    return _gather.bind(*vary_alike(dx, index), window=window)


def scatter(
    dy: Float[Array, "n *out c"],
    index: UInt8[Array, "n *out c"],
    window: Window,
    spatial: tuple[int, ...],
) -> Float[Array, "n *spatial c"]:
    """`gather`'s transpose: adds to the entry of a number of each window."""
    return _scatter.bind(*vary_alike(dy, index), window=window, spatial=spatial)


def _entries(x: Array, window: Window, fill: np.ndarray) -> Iterator[Array]:
    """The first entry of all windows, their second, ...: `(n, *out, c)` each."""
    spatial = x.shape[1:-1]
    out = window.output_shape(spatial)
    zipped = zip(spatial, window.size, window.stride, out, strict=True)
    ends = [(o - 1) * s + w - n for n, w, s, o in zipped]
    pads = [(low, end - low, 0) for end, (low, _) in zip(ends, window.pads, strict=True)]
    x = lax.pad(x, fill, ((0, 0, 0), *pads, (0, 0, 0)))
    for at in np.ndindex(window.size):
        zipped = zip(at, out, window.stride, strict=True)
        stop = [first + (o - 1) * s + 1 for first, o, s in zipped]
        stride = (1, *window.stride, 1)
        yield lax.slice(x, (0, *at, 0), (x.shape[0], *stop, x.shape[-1]), stride)


def _compute_largest(platform: str, x: Array, *, window: Window) -> list[Array]:
    if _served(platform, x, window):
        return list(native.max_pool(x, window))
    # Padding is the lowest number here: where all of a window is that, its index may be padding's.
    y, *rest = _entries(x, window, lowest(x.dtype))
    index = jnp.zeros(y.shape, np.uint8)
    for number, entry in enumerate(rest, 1):
        index = jnp.where(~(entry <= y) & (y == y), np.uint8(number), index)  # larger, or a NaN
        y = jnp.maximum(y, entry)
    # Not computed anew for each of the entries that ask for it.
    return [y, lax.optimization_barrier(index)]


def _compute_gather(platform: str, dx: Array, index: Array, *, window: Window) -> Array:
    del platform
    entries = enumerate(_entries(dx, window, np.zeros((), dx.dtype)))
    own = (jnp.where(index == number, entry, 0) for number, entry in entries)
    return functools.reduce(jnp.add, own)


def _compute_scatter(
    platform: str, dy: Array, index: Array, *, window: Window, spatial: tuple[int, ...]
) -> Array:
    if _served(platform, dy, window):
        return native.max_pool_gradient(dy, index, window, spatial)
    like = jax.ShapeDtypeStruct((dy.shape[0], *spatial, dy.shape[-1]), dy.dtype)
    run = lambda dx: _compute_gather(platform, dx, index, window=window)
    return jax.linear_transpose(run, like)(dy)[0]


def _served(platform: str, x: Array, window: Window) -> bool:
    axes = window.rank <= _MOST_AXES
    return platform == "cpu" and x.size > 0 and axes and native.pools(x.dtype)


def lowest(dtype: np.dtype) -> np.ndarray:
    """What no entry is smaller than."""
    # NumPy, because lax.reduce_window is differentiable only where it knows its initial value.
    if jnp.issubdtype(dtype, jnp.floating):
        return np.array(-np.inf, dtype)
    return np.array(jnp.iinfo(dtype).min, dtype)


def _abstract_largest(x, *, window: Window) -> list[ShapedArray]:
    y = _abstract_gather(x, None, window=window)
    return [y, y.update(dtype=np.dtype(np.uint8))]


def _abstract_gather(dx, index, *, window: Window) -> ShapedArray:
    del index
    n, *spatial, channels = dx.shape
    return abstract_result(dx, (n, *window.output_shape(spatial), channels), kept=1)


def _abstract_scatter(dy, index, *, window: Window, spatial: tuple[int, ...]) -> ShapedArray:
    del index, window
    return abstract_result(dy, (dy.shape[0], *spatial, dy.shape[-1]), kept=1)


def _batch(primitive: Primitive, args: tuple, axes: tuple, **params):
    """More examples are a larger batch."""
    size = next(v.shape[a] for v, a in zip(args, axes, strict=True) if a is not None)
    moved = [
        jnp.broadcast_to(v, (size, *v.shape)) if a is None else jnp.moveaxis(v, a, 0)
        for v, a in zip(args, axes, strict=True)
    ]
    n = moved[0].shape[1]
    out = primitive.bind(*(v.reshape(size * n, *v.shape[2:]) for v in moved), **params)
    apart = lambda v: v.reshape(size, n, *v.shape[1:])
    if primitive.multiple_results:
        return [apart(v) for v in out], [0] * len(out)
    return apart(out), 0


for _primitive, _abstract, _compute in (
    (_largest, _abstract_largest, _compute_largest),
    (_gather, _abstract_gather, _compute_gather),
    (_scatter, _abstract_scatter, _compute_scatter),
):
    register(_primitive, _abstract, _compute)
    batching.primitive_batchers[_primitive] = functools.partial(_batch, _primitive)

ad.primitive_jvps[_largest] = _jvp_of_largest
# Linear in the first argument; the index, the second, has no derivative.
ad.defjvp(_gather, lambda dx, _, index, **params: gather(dx, index, **params), None)
ad.defjvp(_scatter, lambda dy, _, index, **params: scatter(dy, index, **params), None)


def _transpose_gather(ct, dx, index, *, window: Window) -> list:
    if isinstance(ct, ad.Zero):
        return [ad.Zero(dx.aval), None]
    return [scatter(ct, index, window, dx.aval.shape[1:-1]), None]


def _transpose_scatter(ct, dy, index, *, window: Window, spatial: tuple[int, ...]) -> list:
    del spatial
    return [ad.Zero(dy.aval) if isinstance(ct, ad.Zero) else gather(ct, index, window), None]


ad.primitive_transposes[_gather] = _transpose_gather
ad.primitive_transposes[_scatter] = _transpose_scatter
