"""Locally-connected layer (A 2.4): local like a convolution, but nothing is shared."""

import functools
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import positive_int, takes_arrays
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import WindowLayer, spatial_rank
from cnnlab.ops import Ints, Padding, Window
from cnnlab.ops.precision import add_bias


class LocallyConnected(WindowLayer):
    """`H_ij = W_ij vect(P_ij) + b_ij`: every output pixel has its own weights (A 2.4).

    `weight` is `(*out, prod(kernel_size) * in_channels, out_channels)`, which is the
    `h w s^2 c c'` parameters of A 2.4; `bias` is `(*out, out_channels)` or None.
    """

    weight: Float[Array, "*out patch c_out"]
    bias: Float[Array, "*out c_out"] | None
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    spatial_shape: tuple[int, ...] = eqx.field(static=True)
    window: Window = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        spatial_shape: Sequence[int],
        stride: Ints = 1,
        padding: Padding = "SAME",
        dilation: Ints = 1,
        use_bias: bool = True,
        *,
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** as of `Conv`; `spatial_shape` is the input's, the only one that the layer
        takes."""
        rank = spatial_rank(num_spatial_dims)
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.spatial_shape = ops.to_tuple("spatial_shape", tuple(spatial_shape), rank)
        self.window = Window.of(rank, kernel_size, stride, padding, dilation)
        out = self.window.output_shape(self.spatial_shape)
        # One kernel for each position, each drawn as a convolution's would be.
        shape = (*self.kernel_size, self.in_channels, self.out_channels)
        draw = lambda k: initializer(kernel_init)(k, shape).reshape(-1, self.out_channels)
        weight = jax.vmap(draw)(jr.split(key, math.prod(out)))
        self.weight = weight.reshape(*out, *weight.shape[1:])
        self.bias = jnp.zeros((*out, self.out_channels)) if use_bias else None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c_out"]:
        """**Arguments:** `x`, `(*batch, *spatial_shape, in_channels)`.

        **Raises:** `ValueError` for any other shape.
        """
        del key
        expected = (*self.spatial_shape, self.in_channels)
        if x.shape[-len(expected) :] != expected:
            raise ValueError(f"x: expected shape (*batch, {expected}), got {x.shape}")
        y = ops.local_conv(x, self.weight, window=self.window.size, **self.window.arguments)
        return y if self.bias is None else add_bias(y, self.bias)

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (*self.window.output_shape(in_shape[:-1]), self.out_channels)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """The number of weights; `in_shape` is the layer's own."""
        del in_shape
        return self.weight.size


class LocallyConnected1d(LocallyConnected):
    """`LocallyConnected` for sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(LocallyConnected.__init__, 1)


class LocallyConnected2d(LocallyConnected):
    """`LocallyConnected` for images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(LocallyConnected.__init__, 2)


class LocallyConnected3d(LocallyConnected):
    """`LocallyConnected` for volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(LocallyConnected.__init__, 3)
