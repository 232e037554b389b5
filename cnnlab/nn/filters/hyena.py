"""Kernels that are a network of the position."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import positive_int
from cnnlab.nn.filters.base import Filter, number
from cnnlab.nn.initializers import initializer


class Hyena(Filter):
    """A small network of the position, under a window that decays (Poli et al. 2023,
    arXiv:2302.10866, 3.3).

    `weight` and `bias` are a network that takes the position and `bands` pairs of sines of it to
    one number a channel, with `sin(rate h)` between its layers, each unit its own `rate`. The first
    channel's window is down to 1 % after `fast * span` positions, the last one's after
    `slow * span`, the others between.
    """

    weight: tuple[Float[Array, "n m"], ...]
    bias: tuple[Float[Array, " m"], ...]
    rate: Float[Array, " width"]
    channels: int = eqx.field(static=True)
    span: int = eqx.field(static=True)
    bands: int = eqx.field(static=True)
    fast: float = eqx.field(static=True)
    slow: float = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        span: int,
        *,
        width: int = 64,
        depth: int = 3,
        bands: int = 8,
        rate: float = 10.0,
        fast: float = 0.3,
        slow: float = 1.5,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `span`: positions, the unit of time; as a rule the length in training.
        - `width`, `depth`: of the network, whose last layer is linear.
        - `rate`: what all of the sine's rates begin with; larger for rougher kernels.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.channels = positive_int("channels", channels)
        self.span = positive_int("span", span)
        self.bands = positive_int("bands", bands)
        self.fast, self.slow = number("fast", fast), number("slow", slow)
        if fast > slow:
            raise ValueError(f"fast: expected 0 < fast <= slow, got {fast} and slow={slow}")
        depth, width = positive_int("depth", depth), positive_int("width", width)
        sizes = [2 * bands + 1, *[width] * depth, self.channels]
        pairs = list(zip(sizes, sizes[1:], jr.split(key, depth + 1), strict=False))
        lecun = initializer("lecun_normal")
        self.weight = tuple(lecun(k, (n, m)) for n, m, k in pairs)
        self.bias = tuple(jnp.zeros(m) for _, m, _ in pairs[:-1])
        self.rate = jnp.full(width, number("rate", rate))

    def kernel(self, length: int) -> Float[Array, "length c"]:
        time = jnp.arange(length)[:, None] / self.span
        angle = 2 * math.pi * jnp.arange(1, self.bands + 1) * time
        h = jnp.concatenate([time, jnp.cos(angle), jnp.sin(angle)], -1)
        for weight, bias in zip(self.weight[:-1], self.bias, strict=True):
            h = jnp.sin(self.rate * (h @ weight + bias))
        # As large together as one weight of deviation 1, whatever the span.
        values = h @ self.weight[-1] / math.sqrt(self.span)
        decay = math.log(100) / jnp.linspace(self.fast, self.slow, self.channels)
        return values * jnp.exp(-decay * time)
