"""Depthwise separable convolution (A 5.3): space first, then channels."""

import functools
from collections.abc import Callable, Sequence

import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import takes_arrays
from cnnlab.nn.conv import Conv
from cnnlab.nn.conv_variants import DepthwiseConv, PointwiseConv
from cnnlab.nn.layer import WindowLayer
from cnnlab.ops import Ints, Padding, Window


class SeparableConv(WindowLayer):
    """A depthwise convolution and then a 1x1 one, with nothing between them.

    `s^2 c + c c'` weights in two dimensions, and `c'` biases, which belong to the 1x1 part.
    """

    depthwise: Conv
    pointwise: Conv

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = "SAME",
        dilation: Ints = 1,
        use_bias: bool = True,
        *,
        channel_multiplier: int = 1,
        padding_mode: str = "zeros",
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** as of `Conv` and `DepthwiseConv`; `algorithm` is the depthwise part's."""
        depthwise_key, pointwise_key = jr.split(key)
        self.depthwise = DepthwiseConv(
            num_spatial_dims,
            in_channels,
            *(kernel_size, stride, padding, dilation),
            use_bias=False,
            channel_multiplier=channel_multiplier,
            padding_mode=padding_mode,
            algorithm=algorithm,
            kernel_init=kernel_init,
            key=depthwise_key,
        )
        self.pointwise = PointwiseConv(
            num_spatial_dims,
            self.depthwise.out_channels,
            out_channels,
            use_bias=use_bias,
            kernel_init=kernel_init,
            key=pointwise_key,
        )

    @property
    def window(self) -> Window:
        return self.depthwise.window

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c_out"]:
        """**Arguments:** `x`, `(*batch, *spatial, in_channels)`."""
        del key
        return self.pointwise(self.depthwise(x))

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return self.pointwise.output_shape(self.depthwise.output_shape(in_shape))

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Those of both parts."""
        middle = self.depthwise.output_shape(in_shape)
        return self.depthwise.multiply_adds(in_shape) + self.pointwise.multiply_adds(middle)


class SeparableConv1d(SeparableConv):
    """`SeparableConv` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(SeparableConv.__init__, 1)


class SeparableConv2d(SeparableConv):
    """`SeparableConv` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(SeparableConv.__init__, 2)


class SeparableConv3d(SeparableConv):
    """`SeparableConv` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(SeparableConv.__init__, 3)
