"""Heads: features to class scores (A 4.8), by pooling over space or by flattening."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import nn
from cnnlab.arguments import one_of, positive_int
from cnnlab.models.backbone import run_stages
from cnnlab.models.flatten import Flatten
from cnnlab.models.mlp import mlp_stages

_POOLS = ("avg", "max", "sum")


class LinearHead(eqx.nn.StatefulLayer):
    """Global pooling or flattening, then one linear layer: the head of A 4.8."""

    pool: nn.GlobalPool | Flatten
    linear: nn.Linear
    in_shape: tuple[int, ...] = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        num_classes: int,
        *,
        pool: str = "avg",
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of the features of one input, `(*spatial, c)` or `(c,)`.
        - `num_classes`: number of class scores.
        - `pool`: `"avg"`, `"max"` or `"sum"` over all positions (A 4.4), or `"flatten"`.

        **Raises:** `ValueError` for an unknown pool and for fewer than one class.
        """
        self.in_shape = tuple(in_shape)
        self.num_classes = positive_int("num_classes", num_classes)
        self.pool, size = _pool(pool, self.in_shape)
        self.linear = nn.Linear(size, num_classes, key=key)

    def __call__(
        self, x: Float[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "... classes"], eqx.nn.State]:
        """Maps features `(*batch, *in_shape)` to logits `(*batch, num_classes)`."""
        return self.linear(self.pool(x)), state


class MLPHead(eqx.nn.StatefulLayer):
    """Global pooling or flattening, then a multi-layer perceptron: `y = MLP(h)` of A 4.8."""

    pool: nn.GlobalPool | Flatten
    stages: tuple[eqx.nn.Sequential, ...]
    linear: nn.Linear
    in_shape: tuple[int, ...] = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        num_classes: int,
        *,
        hidden: Sequence[int] = (128,),
        pool: str = "avg",
        activation: str | Callable = "relu",
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of the features of one input, `(*spatial, c)` or `(c,)`.
        - `num_classes`: number of class scores.
        - `hidden`: widths of the hidden layers.
        - `pool`: `"avg"`, `"max"` or `"sum"` over all positions (A 4.4), or `"flatten"`.
        - `activation`: name or function, after every hidden layer.
        - `dropout`: probability of dropping a hidden unit.

        **Raises:** `ValueError` for an unknown pool, a width below one, fewer than one class.
        """
        self.in_shape = tuple(in_shape)
        self.num_classes = positive_int("num_classes", num_classes)
        self.pool, size = _pool(pool, self.in_shape)
        hidden_key, out_key = jr.split(key)
        self.stages = mlp_stages("hidden", size, hidden, activation, dropout, hidden_key)
        self.linear = nn.Linear((size, *hidden)[-1], num_classes, key=out_key)

    def __call__(
        self, x: Float[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "... classes"], eqx.nn.State]:
        """Maps features `(*batch, *in_shape)` to logits `(*batch, num_classes)`."""
        x, state = run_stages(self.stages, self.pool(x), state, key)
        return self.linear(x), state


class ConvHead(eqx.nn.StatefulLayer):
    """A 1x1 convolution to one map per class (A 5.1), then global pooling of each map, or none.

    With average pooling this is the function of `LinearHead`; the maps before pooling show where
    the evidence for each class lies.
    """

    conv: nn.Conv
    pool: nn.GlobalPool | None
    in_shape: tuple[int, ...] = eqx.field(static=True)
    num_classes: int = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        num_classes: int,
        *,
        pool: str = "avg",
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of the features of one input, `(*spatial, c)`.
        - `num_classes`: number of class scores.
        - `pool`: `"avg"`, `"max"` or `"sum"` over all positions (A 4.4); `"none"`: the maps are the
            scores, one for each class at every position.

        **Raises:** `ValueError` for features without spatial axes, an unknown pool, fewer than
        one class.
        """
        self.in_shape = tuple(in_shape)
        self.num_classes = positive_int("num_classes", num_classes)
        if len(self.in_shape) < 2:
            raise ValueError(f"in_shape: expected (*spatial, channels), got {self.in_shape}")
        one_of("pool", pool, (*_POOLS, "none"))
        rank = len(self.in_shape) - 1
        self.conv = nn.Conv(rank, self.in_shape[-1], num_classes, 1, key=key)
        self.pool = None if pool == "none" else nn.GlobalPool(pool, rank)

    def __call__(
        self, x: Float[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "... classes"], eqx.nn.State]:
        """Maps features `(*batch, *in_shape)` to logits `(*batch, num_classes)`; without a pool to
        `(*batch, *spatial, num_classes)`."""
        maps = self.conv(x)
        return maps if self.pool is None else self.pool(maps), state


def _pool(pool: str, in_shape: tuple[int, ...]) -> tuple[nn.GlobalPool | Flatten, int]:
    """The layer that turns features of `in_shape` into a vector, and the vector's length."""
    one_of("pool", pool, (*_POOLS, "flatten"))
    if pool == "flatten" or len(in_shape) == 1:  # a vector has no positions to pool over
        flatten = Flatten(in_shape)
        return flatten, flatten.size
    return nn.GlobalPool(pool, len(in_shape) - 1), in_shape[-1]
