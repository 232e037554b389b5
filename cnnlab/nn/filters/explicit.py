"""Kernels that are weights: one a position, or fewer the further back."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import positive_int, to_tuple
from cnnlab.nn.filters.base import Filter, number


class Explicit(Filter):
    """One weight a position, made sparse and smooth (Fu et al. 2023, arXiv:2302.06646, 3.2).

    `weight` is `(max_length, channels)`; further back the kernel is zero. First each weight becomes
    the mean of itself and `smoothing` neighbours on either side (zeros beyond the ends), then all
    shrink by `squash` towards zero, and the smaller ones vanish.
    """

    weight: Float[Array, "n c"]
    channels: int = eqx.field(static=True)
    squash: float = eqx.field(static=True)
    smoothing: int = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        max_length: int,
        *,
        squash: float = 0.003,
        smoothing: int = 0,
        key: PRNGKeyArray,
    ):
        """**Arguments:** `squash`, at least 0; `smoothing`, a number of positions. The weights
        begin with a deviation of `1 / sqrt(max_length)`.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        length = positive_int("max_length", max_length)
        self.squash = number("squash", squash, least=0)
        self.smoothing = to_tuple("smoothing", smoothing, 1, minimum=0)[0]
        self.weight = jr.normal(key, (length, self.channels)) / math.sqrt(length)

    def kernel(self, length: int) -> Float[Array, "length c"]:
        wide = 2 * self.smoothing + 1
        padded = jnp.pad(self.weight, ((self.smoothing,) * 2, (0, 0)))
        most = len(self.weight)
        smooth = sum(padded[i : i + most] for i in range(wide)) / wide
        sparse = jnp.sign(smooth) * jnp.maximum(jnp.abs(smooth) - self.squash, 0)
        return jnp.pad(sparse[:length], ((0, max(0, length - most)), (0, 0)))


class SGConv(Filter):
    """As many weights for each doubling of the distance, interpolated, and smaller by `decay` (Li
    et al. 2022, arXiv:2210.09298, 3.2).

    `weight` is `(scales, size, channels)`: scale 0 weighs the last `size` positions, scale `i` the
    `size * 2^(i-1)` before those of the scales below; beyond `span` positions, rounded up to so
    many, the kernel is zero.
    """

    weight: Float[Array, "scales size c"]
    channels: int = eqx.field(static=True)
    decay: float = eqx.field(static=True)

    def __init__(
        self, channels: int, span: int, *, size: int = 16, decay: float = 0.5, key: PRNGKeyArray
    ):
        """**Arguments:** `span`, how far back it reaches; `size`, weights of each scale.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        span, size = positive_int("span", span), positive_int("size", size)
        self.decay = number("decay", decay, 0)
        scales = 1 + math.ceil(math.log2(max(1.0, span / size)))
        self.weight = jr.normal(key, (scales, size, self.channels))

    def kernel(self, length: int) -> Float[Array, "length c"]:
        scales, size, _ = self.weight.shape
        lengths = [size << max(i - 1, 0) for i in range(scales)]
        begins = [0, *itertools.accumulate(lengths)]
        parts = [
            self.decay**i * jax.image.resize(self.weight[i], (n, self.channels), "linear")
            for i, n in enumerate(lengths)
            if i == 0 or begins[i] < length
        ]
        # As large together as one weight of deviation 1, whatever the span.
        energy = sum(n * self.decay ** (2 * i) for i, n in enumerate(lengths))
        kernel = jnp.concatenate(parts)[:length] / math.sqrt(energy)
        return jnp.pad(kernel, ((0, max(0, length - len(kernel))), (0, 0)))
