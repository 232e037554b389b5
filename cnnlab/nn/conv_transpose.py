"""Transposed convolution: the adjoint of a convolution as a layer, for upsampling."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import check_channels, divisor, one_of, positive_int, takes_arrays
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import Convolution, WindowLayer, spatial_rank
from cnnlab.ops import Ints, Padding, Pass, Problem, Window
from cnnlab.ops.precision import add_bias


class ConvTranspose(Convolution, WindowLayer):
    """The transpose of the linear map of `Conv` from `out_channels` to `in_channels`, plus a bias.

    `weight` is the kernel of that convolution, `(*kernel_size, out_channels / groups,
    in_channels)`; `bias` is `(out_channels,)` or None.
    """

    weight: Float[Array, "..."]
    bias: Float[Array, " c_out"] | None
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    window: Window = eqx.field(static=True)
    output_padding: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    algorithm: str = eqx.field(static=True)
    passes: ClassVar[tuple[Pass, ...]] = ("input_gradient", "forward", "kernel_gradient")

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = "SAME",
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        use_bias: bool = True,
        *,
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** those of `Conv`, and

        - `output_padding`: how much larger than the default (`ops.transpose_shape`) the output is;
          with a stride, several input sizes of a convolution share one output size.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.window = Window.of(rank, kernel_size, stride, padding, dilation)
        self.output_padding = ops.to_tuple("output_padding", output_padding, rank, minimum=0)
        self.groups = divisor("groups", groups, in_channels=in_channels, out_channels=out_channels)
        self.algorithm = one_of("algorithm", algorithm, ops.ALGORITHMS)
        # Drawn as the kernel of a convolution from in_channels to out_channels, so that fans and
        # `dirac` mean what they mean there, then laid out as the kernel of its adjoint.
        group_in, group_out = self.in_channels // self.groups, self.out_channels // self.groups
        shape = (*self.kernel_size, group_in, self.out_channels)
        weight = initializer(kernel_init)(key, shape, groups=self.groups)
        weight = weight.reshape(*self.kernel_size, group_in, self.groups, group_out)
        weight = jnp.moveaxis(weight, -1, -3)  # (*k, group_out, group_in, groups)
        weight = jnp.swapaxes(weight, -1, -2)
        self.weight = weight.reshape(*self.kernel_size, group_out, self.in_channels)
        self.bias = jnp.zeros(self.out_channels) if use_bias else None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c_out"]:
        """**Arguments:** `x`, `(*batch, *spatial, in_channels)`.

        **Raises:** `ValueError` for an impossible output size.
        """
        del key
        check_channels(x, self.in_channels)
        y = ops.conv_transpose(
            x,
            self.weight,
            **self.window.arguments,
            groups=self.groups,
            shape=self._out_spatial(self.window.spatial(x.shape)),
            algorithm=self.algorithm,
        )
        return y if self.bias is None else add_bias(y, self.bias)

    def problem(self, in_shape: Sequence[int]) -> Problem:
        """The convolution whose transpose the layer is, for `(*batch, *spatial, c_in)`."""
        batch, spatial = in_shape[: -self.window.rank - 1], self.window.spatial(in_shape)
        return ops.describe(
            (*batch, *self._out_spatial(spatial), self.out_channels),
            self.weight.shape,
            **self.window.arguments,
            groups=self.groups,
            dtype=self.weight.dtype,
        )

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (*self._out_spatial(in_shape[:-1]), self.out_channels)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """As of the convolution whose transpose the layer is."""
        return math.prod(in_shape) * self.window.taps * self.out_channels // self.groups

    def _out_spatial(self, spatial: Sequence[int]) -> tuple[int, ...]:
        default = self.window.transpose_shape(spatial)
        return tuple(n + p for n, p in zip(default, self.output_padding, strict=True))


class ConvTranspose1d(ConvTranspose):
    """`ConvTranspose` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(ConvTranspose.__init__, 1)


class ConvTranspose2d(ConvTranspose):
    """`ConvTranspose` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(ConvTranspose.__init__, 2)


class ConvTranspose3d(ConvTranspose):
    """`ConvTranspose` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(ConvTranspose.__init__, 3)
