"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597): features for every position of the input."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import nn
from cnnlab.models.plan import parse_plan
from cnnlab.nn import factories


class UNet(eqx.nn.StatefulLayer):
    """Down as `VGG`, and up again: each block on the way up sees what came up, doubled by a
    transposed convolution, beside what the block of the same size gave on the way down.

    Maps `(*batch, *spatial, c)` to `(*batch, *spatial, c')`, whatever the sizes: maps are padded
    while they are halved, as nowhere in the paper, so that the result has the input's size.
    """

    stages: tuple[nn.ConvBlock, ...]
    ups: tuple[nn.ConvTranspose, ...]
    pool: nn.Pool
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        plan: Sequence[object],
        *,
        conv: Callable[..., Callable] = factories.dense,
        norm: Callable[[int], Callable] | None = None,
        activation: str | Callable = "relu",
        kernel_size: int = 3,
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of one input, `(*spatial, c)` with 1 to 3 spatial axes.
        - `plan`: the channels of the convolutions on the way down, with `"M"` where the map is
          halved, and last those at the bottom: `[32, 32, "M", 64, 64, "M", 128, 128]`. The way up
          has those of the way down in reverse, from the last but one on.
        - `conv`, `norm`, `activation`, `kernel_size`, `dropout`: as `VGG` takes them.

        **Raises:** `ValueError` that begins with the argument's name.
        """
        self.in_shape = shape = tuple(in_shape)
        rank = len(shape) - 1
        widths = [stage.channels for stage in parse_plan(plan)]
        if parse_plan(plan)[-1].downsample:
            raise ValueError("plan: expected channels behind the last 'M', those of the bottom")

        def block(shape: tuple[int, ...], channels: Sequence[int], key: PRNGKeyArray):
            return nn.ConvBlock(
                shape,
                channels,
                conv=conv,
                norm=norm,
                activation=activation,
                kernel_size=kernel_size,
                pool=None,
                dropout=dropout,
                key=key,
            )

        self.pool = nn.POOLS["max"](rank, 2, padding="SAME")
        down: list[nn.ConvBlock] = []
        for i, channels in enumerate(widths):
            key, subkey = jr.split(key)
            down.append(block(self.pool.output_shape(shape) if i else shape, channels, subkey))
            shape = down[-1].out_shape
        joins, ups = [], []
        for beside in reversed(down[:-1]):
            key, up_key, join_key = jr.split(key, 3)
            width = beside.out_shape[-1]
            ups.append(nn.ConvTranspose(rank, shape[-1], width, 2, 2, key=up_key))
            channels = widths[len(down) - 2 - len(joins)][::-1]
            joins.append(block((*beside.out_shape[:-1], 2 * width), channels, join_key))
            shape = joins[-1].out_shape
        self.stages = (*down, *joins)
        self.ups = tuple(ups)
        self.out_shape = shape

    def __call__(
        self, x: Float[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "..."], eqx.nn.State]:
        """Maps `(*batch, *spatial, c)` to features `(*batch, *spatial, c')`."""
        keys = [None] * len(self.stages) if key is None else list(jr.split(key, len(self.stages)))
        depth, kept = len(self.ups), []
        for i, stage in enumerate(self.stages[: depth + 1]):
            x, state = stage(self.pool(x) if i else x, state, key=keys[i])
            kept.append(x)
        for i, (up, stage) in enumerate(zip(self.ups, self.stages[depth + 1 :], strict=True)):
            beside = kept[depth - 1 - i]
            joined = jnp.concatenate([beside, _cut(up(x), beside)], axis=-1)
            x, state = stage(joined, state, key=keys[depth + 1 + i])
        return x, state


def _cut(x: Array, like: Array) -> Array:
    """The first positions of an array, as many as another one has: an odd size, rounded up when it
    was halved, is one too large when it is doubled."""
    return x[tuple(slice(n) for n in like.shape[:-1])]
