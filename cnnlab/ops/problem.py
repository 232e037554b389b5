"""One convolution with everything resolved: what algorithms are chosen by and work with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, TypeAlias

import numpy as np
from jax.typing import DTypeLike

from cnnlab.arguments import check_entries, shown
from cnnlab.ops.window import Ints, Padding, Pairs, Window

MAX_RANK = 3

Pass: TypeAlias = Literal["forward", "input_gradient", "kernel_gradient"]
PASSES: tuple[Pass, ...] = ("forward", "input_gradient", "kernel_gradient")


@dataclass(frozen=True)
class Problem:
    """One convolution with everything resolved: what an algorithm decides by and works with.

    The input is `(batch, *spatial, in_channels)`, the kernel
    `(*kernel_size, in_channels // groups, out_channels)`, the result
    `(batch, *out, out_channels)`.
    """

    batch: int
    spatial: tuple[int, ...]
    in_channels: int
    out_channels: int
    window: Window
    groups: int
    out: tuple[int, ...]
    dtype: np.dtype

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return self.window.rank

    @property
    def taps(self) -> int:
        """Number of positions of the kernel."""
        return self.window.taps

    @property
    def kernel_size(self) -> tuple[int, ...]:
        return self.window.size

    @property
    def stride(self) -> tuple[int, ...]:
        return self.window.stride

    @property
    def padding(self) -> Pairs:
        return self.window.pads

    @property
    def dilation(self) -> tuple[int, ...]:
        return self.window.dilation

    @property
    def depthwise(self) -> bool:
        """Whether every group has one input channel, of several (A 5.2)."""
        return 1 < self.groups == self.in_channels

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(batch, *spatial, c_in)`."""
        return (self.batch, *self.spatial, self.in_channels)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """`(*kernel_size, c_in / groups, c_out)`."""
        return (*self.kernel_size, self.in_channels // self.groups, self.out_channels)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`(batch, *out, c_out)`."""
        return (self.batch, *self.out, self.out_channels)

    @property
    def multiply_adds(self) -> int:
        """Products in the sum of B eq. 10.8, those with padding counted; the same in all passes."""
        return math.prod(self.y_shape) * self.taps * self.in_channels // self.groups


def describe(
    x_shape: Sequence[int],
    kernel_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    dtype: DTypeLike = np.float32,
) -> Problem:
    """Check the arguments of a convolution and resolve them; leading batch axes are merged.

    **Raises:** `ValueError`, in one line that begins with the argument's name.
    """
    rank = kernel_rank(kernel_shape)
    x_shape = tuple(x_shape)
    if len(x_shape) < rank + 1:
        raise ValueError(
            f"x: expected (*batch, {rank} spatial axes, channels), got shape {shown(x_shape)}"
        )
    *batch, in_channels = x_shape[: -rank - 1] + x_shape[-1:]
    *kernel_size, group_channels, out_channels = kernel_shape
    spatial = x_shape[-rank - 1 : -1]
    check_groups(groups, in_channels, group_channels, out_channels)
    window = Window.of(rank, kernel_size, stride, padding, dilation).at(spatial)
    out = window.output_shape(spatial)
    check_entries("padding", (*batch, *window.padded(spatial), in_channels))
    check_entries("padding", (*batch, *out, out_channels))
    return Problem(
        batch=math.prod(batch),
        spatial=spatial,
        in_channels=in_channels,
        out_channels=out_channels,
        window=window,
        groups=groups,
        out=out,
        dtype=np.dtype(dtype),
    )


def kernel_rank(kernel_shape: Sequence[int]) -> int:
    """Number of spatial axes of a kernel `(*kernel_size, c_in / groups, c_out)`: 1, 2 or 3."""
    rank = len(kernel_shape) - 2
    if not 1 <= rank <= MAX_RANK:
        raise ValueError(
            "kernel: expected (*kernel_size, in_channels / groups, out_channels) with 1 to "
            f"{MAX_RANK} spatial axes, got shape {shown(tuple(kernel_shape))}"
        )
    return rank


def divides(groups: int, *channels: int) -> bool:
    """Whether `groups` is a whole number, at least 1, that divides every count of channels."""
    whole = isinstance(groups, Integral) and not isinstance(groups, bool)
    return whole and groups >= 1 and not any(n % groups for n in channels)


def check_groups(groups: int, in_channels: int, group_channels: int, out_channels: int) -> None:
    """Refuse groups that do not divide the channels, and a kernel that does not match them."""
    if not divides(groups, in_channels, out_channels):
        raise ValueError(
            f"groups: expected a divisor of {in_channels} input and {out_channels} output "
            f"channels, got {shown(groups)}"
        )
    if in_channels != groups * group_channels:
        raise ValueError(
            f"kernel: expected {in_channels // groups} input channels ({in_channels} in "
            f"{groups} groups), got {group_channels}"
        )
