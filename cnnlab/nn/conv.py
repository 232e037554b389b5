"""Convolutional layers (A 3.2, A 5.1, A 5.2, A 6.3): `ops.conv` with a weight and a bias."""

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.nn._checks import check_channels, choice, divisor, positive_int, window_geometry
from cnnlab.nn.initializers import initializer
from cnnlab.ops.algorithms import PASSES, Pass
from cnnlab.ops.arguments import takes_arrays
from cnnlab.ops.geometry import Padding
from cnnlab.ops.problem import Problem, describe


class Conv(eqx.Module):
    """Convolution with a bias, `(*batch, *spatial, c_in) -> (*batch, *out, c_out)` (B eq. 10.8).

    `weight` is `(*kernel_size, in_channels / groups, out_channels)`, `bias` is `(out_channels,)`
    or None. The number of parameters is `s^2 c c' + c'` in two dimensions (A 3.2).
    """

    weight: Float[Array, "..."]
    bias: Float[Array, " c_out"] | None
    num_spatial_dims: int = eqx.field(static=True)
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    kernel_size: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    padding_mode: str = eqx.field(static=True)
    flip: bool = eqx.field(static=True)
    algorithm: str = eqx.field(static=True)
    # Of `problem`: what the layer computes, then its gradients in input and kernel.
    passes: ClassVar[tuple[Pass, ...]] = PASSES

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        use_bias: bool = True,
        *,
        padding_mode: str = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """Takes, besides the geometry that `ops.conv` takes:

        - `num_spatial_dims`: 1, 2 or 3.
        - `use_bias`: whether to add `b` of A 3.2; it starts at zero.
        - `padding_mode`: what the padding is filled with, see `ops.pad`.
        - `flip`: reverse the kernel in space, as signal processing does (A 3.5).
        - `algorithm`: how to compute it, `"auto"` or a name of `ops.algorithms`.
        - `kernel_init`: an initialiser's name (`nn.initializer`) or a function like it.

        ValueError, in one line that begins with the argument's name, for a bad value.
        """
        if num_spatial_dims not in (1, 2, 3):
            raise ValueError(f"num_spatial_dims: expected 1, 2 or 3, got {num_spatial_dims!r}")
        self.num_spatial_dims = num_spatial_dims
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.kernel_size, self.stride, self.padding, self.dilation = window_geometry(
            num_spatial_dims, kernel_size, stride, padding, dilation
        )
        self.groups = divisor("groups", groups, in_channels=in_channels, out_channels=out_channels)
        self.padding_mode = choice("padding_mode", padding_mode, ops.PADDING_MODES)
        self.flip = flip
        self.algorithm = choice("algorithm", algorithm, ops.ALGORITHMS)
        shape = (*self.kernel_size, self.in_channels // self.groups, self.out_channels)
        self.weight = initializer(kernel_init)(key, shape, groups=self.groups)
        self.bias = jnp.zeros(self.out_channels) if use_bias else None

    @takes_arrays
    def __call__(
        self,
        x: Float[Array, "*dims c_in"],
        *,
        activation: str | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*out c_out"]:
        """`x` is `(*batch, *spatial, in_channels)`; ValueError where a window does not fit.

        `activation`, None, `"relu"` or `"gelu"`, is applied to the result, as `ops.conv` does.
        """
        del key
        check_channels(x, self.in_channels)
        padding = self.padding
        if self.padding_mode != "zeros":
            spatial = x.shape[-self.num_spatial_dims - 1 : -1]
            pads = ops.resolve_padding(
                padding, spatial, self.kernel_size, self.stride, self.dilation
            )
            x, padding = ops.pad(x, pads, self.padding_mode), "VALID"
        return ops.conv(
            x,
            self.weight,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
            flip=self.flip,
            algorithm=self.algorithm,
            bias=self.bias,
            activation=activation,
        )

    def problem(self, in_shape: Sequence[int]) -> Problem:
        """The convolution that `in_shape`, `(*batch, *spatial, c_in)`, asks for."""
        padding = self.padding
        if self.padding_mode != "zeros":
            *batch, channels = in_shape[: -self.num_spatial_dims - 1] + in_shape[-1:]
            spatial = in_shape[-self.num_spatial_dims - 1 : -1]
            pads = ops.resolve_padding(
                padding, spatial, self.kernel_size, self.stride, self.dilation
            )
            padded = (n + low + high for n, (low, high) in zip(spatial, pads, strict=True))
            in_shape, padding = (*batch, *padded, channels), "VALID"
        return describe(
            in_shape,
            self.weight.shape,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
            dtype=self.weight.dtype,
        )

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Multiply-adds of the defining sum for one example `in_shape = (*spatial, c_in)`.

        What B eq. 10.8 costs, whichever algorithm computes it; the bias is not counted.
        """
        return self.problem(in_shape).multiply_adds


class Conv1d(Conv):
    """`Conv` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(Conv.__init__, 1)


class Conv2d(Conv):
    """`Conv` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(Conv.__init__, 2)


class Conv3d(Conv):
    """`Conv` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(Conv.__init__, 3)
