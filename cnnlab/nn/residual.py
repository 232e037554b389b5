"""Residual blocks: what a branch of convolutions adds to its input."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from equinox.nn import State
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import check_channels, positive_int, takes_arrays
from cnnlab.nn import factories
from cnnlab.nn.activations import activation as activation_layer
from cnnlab.nn.block import ConvBlock
from cnnlab.nn.layer import ShapePreserving
from cnnlab.nn.linear import Linear


class LayerScale(ShapePreserving):
    """Multiplies each channel by a learned number (Touvron et al. 2021, arXiv:2103.17239).

    `weight` is `(channels,)`.
    """

    weight: Float[Array, " c"]

    def __init__(self, channels: int, initial: float = 1e-6):
        """**Arguments:** `initial`, what all of them begin with: 0 would be the identity of a
        residual block."""
        self.weight = jnp.full(positive_int("channels", channels), initial)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims c"]:
        """**Arguments:** `x`, `(*batch, *spatial, channels)`."""
        del key
        check_channels(x, self.weight.size)
        return x * self.weight.astype(x.dtype)


class ResidualBlock(eqx.nn.StatefulLayer):
    """`activation(branch(x) + shortcut(x))` with two convolutions in the branch (He et al. 2016,
    arXiv:1512.03385, figure 5, left).

    Where the branch changes the shape, the shortcut is a dense 1x1 convolution with its norm
    (option B there), else the input itself. Maps `(*batch, *in_shape)` to `(*batch, *out_shape)`.
    """

    branch: tuple[ConvBlock, ConvBlock]
    shortcut: ConvBlock | None
    activation: Callable
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: int,
        *,
        stride: int = 1,
        conv: Callable[..., Callable],
        norm: Callable[..., Callable] | None = None,
        activation: str | Callable = "relu",
        kernel_size: ops.Ints = 3,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as `ConvBlock` takes them; `stride` is that of the first convolution.

        **Raises:** `ValueError`: branch and shortcut give different shapes, as where the
        convolution has no padding.
        """
        keys = jr.split(key, 3)
        pool = None if stride == 1 else "stride"
        step = {"norm": norm, "pool": pool, "pool_size": stride}
        first = ConvBlock(
            in_shape,
            [channels],
            conv=conv,
            kernel_size=kernel_size,
            activation=activation,
            key=keys[0],
            **step,
        )
        second = ConvBlock(
            first.out_shape,
            [channels],
            conv=conv,
            norm=norm,
            kernel_size=kernel_size,
            activation="identity",
            pool=None,
            key=keys[1],
        )
        self.branch = first, second
        self.shortcut = None
        if tuple(in_shape) != second.out_shape:
            self.shortcut = ConvBlock(
                in_shape,
                [channels],
                conv=factories.dense,
                kernel_size=1,
                activation="identity",
                key=keys[2],
                **step,
            )
            _check_sum("conv", self.shortcut.out_shape, second.out_shape)
        self.activation = activation_layer(activation)
        self.in_shape = first.in_shape
        self.out_shape = second.out_shape

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], state: State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*out c_out"], State]:
        """**Arguments:** `x`, `(*batch, *in_shape)`."""
        del key
        y, state = self.branch[0](x, state)
        y, state = self.branch[1](y, state)
        if self.shortcut is not None:
            x, state = self.shortcut(x, state)
        return self.activation(x + y), state


class ConvNeXtBlock(eqx.nn.StatefulLayer):
    """`x + scale(W_2 gelu(W_1 norm(conv(x))))` (Liu et al. 2022, arXiv:2201.03545, figure 4).

    The convolution is a depthwise one of 7x7 there; `W_1` makes four times as many channels.
    """

    spatial: ConvBlock
    expand: Linear
    project: Linear
    activation: Callable
    scale: LayerScale
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        *,
        conv: Callable[..., Callable] = factories.depthwise,
        norm: Callable[..., Callable] | None = None,
        activation: str | Callable = "gelu",
        kernel_size: ops.Ints = 7,
        expansion: int = 4,
        key: PRNGKeyArray,
    ):
        """**Arguments:** as `ConvBlock` takes them; `expansion` is by how much `W_1` widens.

        **Raises:** `ValueError`: the convolution changes the shape, as one without padding does.
        """
        keys = jr.split(key, 3)
        channels = in_shape[-1]
        self.spatial = ConvBlock(
            in_shape,
            [channels],
            conv=conv,
            norm=norm,
            activation="identity",
            kernel_size=kernel_size,
            pool=None,
            use_bias=True,
            key=keys[0],
        )
        self.in_shape = self.out_shape = self.spatial.in_shape
        _check_sum("conv", self.in_shape, self.spatial.out_shape)
        wide = positive_int("expansion", expansion) * channels
        self.expand = Linear(channels, wide, key=keys[1])
        self.project = Linear(wide, channels, key=keys[2])
        self.activation = activation_layer(activation)
        self.scale = LayerScale(channels)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c"], state: State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*dims c"], State]:
        """**Arguments:** `x`, `(*batch, *in_shape)`."""
        del key
        y, state = self.spatial(x, state)
        return x + self.scale(self.project(self.activation(self.expand(y)))), state


def _check_sum(name: str, shortcut: tuple[int, ...], branch: tuple[int, ...]) -> None:
    if shortcut != branch:
        raise ValueError(
            f"{name}: expected one whose result can be added to the shortcut's {shortcut}, as with "
            f"padding SAME, got {branch}"
        )
