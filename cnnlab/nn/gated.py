"""A gated long convolution, and the residual block around it."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from equinox.nn import State
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import check_channels, positive_int, takes_arrays
from cnnlab.nn.conv import Conv
from cnnlab.nn.conv_variants import DepthwiseConv1d
from cnnlab.nn.dropout import Dropout
from cnnlab.nn.filters import S4D, Filter
from cnnlab.nn.layer import Layer
from cnnlab.nn.linear import Linear
from cnnlab.nn.long_conv import LongConv1d
from cnnlab.nn.norm import LayerNorm


class Gated(Layer):
    """`W_out (q * long(k * v))` with `q, k, v` the parts of `short(W_in x)`, `*` entry by entry:
    Hyena's operator of order 2 (Poli et al. 2023, arXiv:2302.10866, 3.1), H3's of two shifts (Fu et
    al. 2022, arXiv:2212.14052). Maps `(*batch, n, channels)` to the same, causally.

    The gates `k` and `q` make what the convolution `long` sums, and what is read of it, depend on
    what is there: a convolution by itself treats all positions alike.
    """

    project: Linear
    short: Conv
    long: LongConv1d
    out: Linear

    def __init__(
        self,
        channels: int,
        *,
        filter: Callable[..., Filter] = S4D,
        short: int = 3,
        algorithm: str = "auto",
        key: PRNGKeyArray,
    ):
        """**Arguments:** `filter`, `algorithm`: as of `LongConv1d`; `short`: taps of the short
        convolution, which is causal, too.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        keys = jr.split(key, 4)
        channels = positive_int("channels", channels)
        self.project = Linear(channels, 3 * channels, key=keys[0])
        self.short = DepthwiseConv1d(3 * channels, short, padding="CAUSAL", key=keys[1])
        self.long = LongConv1d(channels, filter=filter, algorithm=algorithm, key=keys[2])
        self.out = Linear(channels, channels, key=keys[3])

    @property
    def window(self) -> None:
        """None: it is as long as the sequence."""
        return None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims n c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims n c"]:
        """**Arguments:** `x`, `(*batch, n, channels)`."""
        del key
        check_channels(x, self.long.channels)
        q, k, v = jnp.split(self.short(self.project(x)), 3, axis=-1)
        return self.out(q * self.long(k * v))

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(in_shape)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Those of its layers; the gates are not counted."""
        wide = self.project.output_shape(in_shape)
        parts = (self.project, in_shape), (self.short, wide), (self.long, in_shape)
        return sum(layer.multiply_adds(s) for layer, s in (*parts, (self.out, in_shape)))


class GatedBlock(eqx.nn.StatefulLayer):
    """`x + gated(norm(x))`, then `x + W_2 gelu(W_1 norm(x))`: norms before what they are for.

    Maps `(*batch, n, channels)` to the same.
    """

    norms: tuple[LayerNorm, LayerNorm]
    gated: Gated
    expand: Linear
    reduce: Linear
    dropout: Dropout

    def __init__(
        self,
        channels: int,
        *,
        filter: Callable[..., Filter] = S4D,
        short: int = 3,
        expansion: int = 2,
        dropout: float = 0.0,
        algorithm: str = "auto",
        key: PRNGKeyArray,
    ):
        """**Arguments:** as of `Gated`; `expansion`, by how much `W_1` widens; `dropout`, of what
        either part adds."""
        keys = jr.split(key, 3)
        wide = positive_int("expansion", expansion) * channels
        self.norms = LayerNorm(channels), LayerNorm(channels)
        self.gated = Gated(channels, filter=filter, short=short, algorithm=algorithm, key=keys[0])
        self.expand = Linear(channels, wide, key=keys[1])
        self.reduce = Linear(wide, channels, key=keys[2])
        self.dropout = Dropout(dropout)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims n c"], state: State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*dims n c"], State]:
        """**Arguments:** `x`, `(*batch, n, channels)`; `key`, needed where there is dropout."""
        keys = (None, None) if key is None else jr.split(key)
        x = x + self.dropout(self.gated(self.norms[0](x)), key=keys[0])
        wide = jax.nn.gelu(self.expand(self.norms[1](x)))
        return x + self.dropout(self.reduce(wide), key=keys[1]), state
