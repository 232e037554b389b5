"""Pooling that minds shifts (A 4.3, A 4.5): blurred before it is sampled, or sampled adaptively.

A stride keeps one of its grids, the one that begins at position 0: an input that moves by less than
the stride is read from another grid. Both layers take maxima of stride 1 first, and only then keep
fewer positions.
"""

import functools
import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import one_of, positive_int, takes_arrays, to_tuple
from cnnlab.nn.layer import Layer, spatial_rank
from cnnlab.nn.pool import Pool
from cnnlab.ops import Ints, Padding, Window
from cnnlab.ops.precision import accumulation_dtype


class BlurPool(Pool):
    """Maxima, blurred, every stride-th: `(*batch, *spatial, c) -> (*batch, *out, c)` (Zhang 2019,
    arXiv:1904.11486, MaxBlurPool).

    The filter is a row of Pascal's triangle along each axis, 1 2 1 of three taps. `window` is what
    an output reads: the maxima's window widened by the filter's.
    """

    window: Window = eqx.field(static=True)
    taps: int = eqx.field(static=True)
    padding_mode: str = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = "SAME",
        *,
        taps: int = 3,
        padding_mode: str = "circular",
    ):
        """**Arguments:**

        - `kernel_size`: of the maxima; `stride`: None is the same.
        - `taps`: of the filter.
        - `padding_mode`: what the padding is filled with, see `ops.pad`.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        sizes = to_tuple("kernel_size", kernel_size, rank)
        self.taps = positive_int("taps", taps)
        whole = [size + self.taps - 1 for size in sizes]
        self.window = Window.of(rank, whole, sizes if stride is None else stride, padding)
        self.padding_mode = one_of("padding_mode", padding_mode, ops.PADDING_MODES)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c"]:
        del key
        window = self.window
        x = ops.pad(x, window.at(window.spatial(x.shape)).pads, self.padding_mode)
        x = ops.max_pool(x, [size - self.taps + 1 for size in window.size], 1)
        row = np.array([math.comb(self.taps - 1, i) for i in range(self.taps)])
        blur = functools.reduce(np.multiply.outer, [row / row.sum()] * window.rank)
        channels = x.shape[-1]
        kernel = jnp.asarray(np.repeat(blur[..., None, None], channels, axis=-1), x.dtype)
        return ops.conv(x, kernel, stride=window.stride, padding="VALID", groups=channels)


class PolyphasePool(Layer):
    """Maxima, of which the grid with the largest norm is kept: `(*batch, *spatial, c) -> (*batch,
    *out, c)` (Chaman and Dokmanic 2021, arXiv:2011.14214, adaptive polyphase sampling).

    A stride has as many grids as it has positions. A shift on a torus only changes which of them is
    which, so that the one kept has the same entries, shifted: behind a global pooling, nothing
    changes. An input each chooses for itself, one grid for all channels.
    """

    maxima: Window = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding_mode: str = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Padding = "SAME",
        *,
        padding_mode: str = "circular",
    ):
        """**Arguments:** as of `BlurPool`.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        self.maxima = Window.of(rank, kernel_size, 1, padding)
        self.stride = to_tuple("stride", kernel_size if stride is None else stride, rank)
        self.padding_mode = one_of("padding_mode", padding_mode, ops.PADDING_MODES)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c"]:
        """**Raises:** `ValueError` where the stride does not divide the map."""
        del key
        rank = self.maxima.rank
        batch, channels = x.shape[: -rank - 1], x.shape[-1]
        out = self.output_shape(x.shape[-rank - 1 :])[:-1]
        x = ops.pad(x, self.maxima.at(self.maxima.spatial(x.shape)).pads, self.padding_mode)
        x = ops.max_pool(x, self.maxima.size, 1)
        split = [n for pair in zip(out, self.stride, strict=True) for n in pair]
        x = x.reshape(*batch, *split, channels)
        first = len(batch)
        grids = tuple(range(first + 1, first + 2 * rank, 2))
        x = jnp.moveaxis(x, grids, tuple(range(first, first + rank)))
        x = x.reshape(*batch, math.prod(self.stride), *out, channels)
        inside = tuple(range(first + 1, x.ndim))
        norms = jnp.square(x.astype(accumulation_dtype(x.dtype))).sum(inside, keepdims=True)
        return jnp.take_along_axis(x, norms.argmax(first, keepdims=True), first).squeeze(first)

    @property
    def window(self) -> None:
        """None: which positions an output reads depends on the whole map."""
        return None

    @property
    def num_spatial_dims(self) -> int:
        """Number of spatial axes."""
        return self.maxima.rank

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        sizes = self.maxima.output_shape(in_shape[:-1])
        if any(n % s for n, s in zip(sizes, self.stride, strict=True)):
            raise ValueError(
                f"stride: expected divisors of the map's sizes {sizes}, got {self.stride}"
            )
        return (*(n // s for n, s in zip(sizes, self.stride, strict=True)), in_shape[-1])

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0, as of every pool."""
        del in_shape
        return 0


class BlurPool1d(BlurPool):
    """`BlurPool` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(BlurPool.__init__, 1)


class BlurPool2d(BlurPool):
    """`BlurPool` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(BlurPool.__init__, 2)


class BlurPool3d(BlurPool):
    """`BlurPool` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(BlurPool.__init__, 3)


class PolyphasePool1d(PolyphasePool):
    """`PolyphasePool` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(PolyphasePool.__init__, 1)


class PolyphasePool2d(PolyphasePool):
    """`PolyphasePool` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(PolyphasePool.__init__, 2)


class PolyphasePool3d(PolyphasePool):
    """`PolyphasePool` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(PolyphasePool.__init__, 3)
