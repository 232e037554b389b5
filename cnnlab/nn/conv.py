"""Convolutional layers (A 3.2, A 5.1, A 5.2, A 6.3): `ops.conv` with a weight and a bias."""

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import check_channels, divisor, one_of, positive_int, takes_arrays
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import Convolution, WindowLayer, spatial_rank
from cnnlab.nn.memory import Memory, Recent
from cnnlab.ops import Ints, Padding, Pass, Problem, Window


class Conv(Convolution, WindowLayer):
    """Convolution with a bias, `(*batch, *spatial, c_in) -> (*batch, *out, c_out)` (B eq. 10.8).

    `weight` is `(*kernel_size, in_channels / groups, out_channels)`, `bias` is `(out_channels,)`
    or None. The number of parameters is `s^2 c c' + c'` in two dimensions (A 3.2).
    """

    weight: Float[Array, "..."]
    bias: Float[Array, " c_out"] | None
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    window: Window = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    padding_mode: str = eqx.field(static=True)
    flip: bool = eqx.field(static=True)
    algorithm: str = eqx.field(static=True)
    passes: ClassVar[tuple[Pass, ...]] = ops.PASSES

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Padding = "SAME",
        dilation: Ints = 1,
        groups: int = 1,
        use_bias: bool = True,
        *,
        padding_mode: str = "zeros",
        flip: bool = False,
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** the window and the groups as `ops.conv` takes them, and

        - `num_spatial_dims`: 1, 2 or 3.
        - `use_bias`: whether to add `b` of A 3.2; it starts at zero.
        - `padding_mode`: what the padding is filled with, see `ops.pad`.
        - `flip`: reverse the kernel in space, as signal processing does (A 3.5).
        - `algorithm`: how to compute it, `"auto"` or a name of `ops.algorithms`.
        - `kernel_init`: an initialiser's name (`nn.initializer`) or a function like it.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.window = Window.of(rank, kernel_size, stride, padding, dilation)
        self.groups = divisor("groups", groups, in_channels=in_channels, out_channels=out_channels)
        self.padding_mode = one_of("padding_mode", padding_mode, ops.PADDING_MODES)
        self.flip = flip
        self.algorithm = one_of("algorithm", algorithm, ops.ALGORITHMS)
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
        """**Arguments:**

        - `x`: `(*batch, *spatial, in_channels)`.
        - `activation`: None, `"relu"` or `"gelu"`, applied to the result, as by `ops.conv`.

        **Raises:** `ValueError` where a window does not fit.
        """
        del key
        check_channels(x, self.in_channels)
        window = self.window
        if self.padding_mode != "zeros":
            pads = window.at(window.spatial(x.shape)).pads
            x, window = ops.pad(x, pads, self.padding_mode), window.without_padding
        return self._over(window, x, activation)

    def memory(self, length: int) -> Memory:
        """To compute outputs one after another: the inputs that a window reaches back to.

        **Raises:** `ValueError`: an output sees later inputs, or there is not one for each input.
        """
        del length
        causal = tuple((extent - 1, 0) for extent in self.window.extent)
        pads = self.window.at(self.window.extent).pads
        if (self.window.rank, self.stride, self.padding_mode, pads) != (1, (1,), "zeros", causal):
            raise ValueError(
                'padding: expected "CAUSAL" with zeros, and one spatial axis without stride, got '
                f"padding={self.padding!r} ({self.padding_mode}), stride={self.stride}"
            )
        windows = eqx.Partial(self._over, self.window.without_padding)
        return Recent(windows, causal[0][0])

    def _over(self, window: Window, x: Array, activation: str | None = None) -> Array:
        return ops.conv(
            x,
            self.weight,
            **window.arguments,
            groups=self.groups,
            flip=self.flip,
            algorithm=self.algorithm,
            bias=self.bias,
            activation=activation,
        )

    def problem(self, in_shape: Sequence[int]) -> Problem:
        window = self.window
        if self.padding_mode != "zeros":
            padded = window.padded(window.spatial(in_shape))
            in_shape = (*in_shape[: -window.rank - 1], *padded, in_shape[-1])
            window = window.without_padding
        shape, dtype = self.weight.shape, self.weight.dtype
        return ops.describe(in_shape, shape, **window.arguments, groups=self.groups, dtype=dtype)

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (*self.window.output_shape(in_shape[:-1]), self.out_channels)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """What B eq. 10.8 costs for one example, whichever algorithm computes it."""
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
