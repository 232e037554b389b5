"""Convolutions with a constraint on the kernel (A 5.1, A 5.2, A 6.3): all of them are a `Conv`.

The functions fill in some of `Conv`'s arguments; `options` are the others.
"""

from collections.abc import Sequence
from typing import Any

from cnnlab.arguments import positive_int, to_tuple
from cnnlab.nn.conv import Conv
from cnnlab.nn.options import by_rank, options_of
from cnnlab.ops import FOURIER, Ints, Padding


@options_of(Conv, "kernel_size")
def PointwiseConv(
    num_spatial_dims: int,
    in_channels: int,
    out_channels: int,
    stride: Ints = 1,
    use_bias: bool = True,
    **options: Any,
) -> Conv:
    """1x1 convolution: one dense layer for every pixel (A 5.1). `c c' + c'` parameters.

    With a stride, every stride-th pixel is kept.
    """
    options["use_bias"] = use_bias
    return Conv(num_spatial_dims, in_channels, out_channels, 1, stride, **options)


@options_of(Conv, "in_channels", "out_channels", "groups")
def DepthwiseConv(
    num_spatial_dims: int,
    channels: int,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    use_bias: bool = True,
    *,
    channel_multiplier: int = 1,
    **options: Any,
) -> Conv:
    """Each channel has its own spatial filters and mixes with no other (A 5.2).

    Output channel `c * channel_multiplier + j` is filter `j` of input channel `c`; `s^2 c`
    weights for each unit of the multiplier, the number of filters for each channel.
    """
    channels = positive_int("channels", channels)
    out_channels = channels * positive_int("channel_multiplier", channel_multiplier)
    window = (kernel_size, stride, padding, dilation)
    return Conv(num_spatial_dims, channels, out_channels, *window, channels, use_bias, **options)


@options_of(Conv)
def GroupedConv(
    num_spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel_size: Ints,
    groups: int,
    stride: Ints = 1,
    padding: Padding = "SAME",
    dilation: Ints = 1,
    use_bias: bool = True,
    **options: Any,
) -> Conv:
    """Channels in `groups` that do not mix with each other (A 5.2): `s^2 c c' / groups` weights."""
    window = (kernel_size, stride, padding, dilation)
    channels = (in_channels, out_channels)
    return Conv(num_spatial_dims, *channels, *window, groups, use_bias, **options)


@options_of(Conv, "kernel_size", "algorithm")
def LongConv(
    num_spatial_dims: int,
    in_channels: int,
    out_channels: int,
    spatial_shape: Sequence[int],
    stride: Ints = 1,
    padding: Padding = "SAME",
    groups: int = 1,
    use_bias: bool = True,
    **options: Any,
) -> Conv:
    """Convolution whose kernel is as long as the input, of shape `spatial_shape`, by FFT (A 6.3).

    By default each output depends on all inputs that are less than half of the size away, later
    ones too; with padding `"CAUSAL"` (1-D) on the whole past and on nothing later. For sequences of
    any length, and few parameters: `nn.LongConv1d`, causal by default.
    """
    kernel_size = to_tuple("spatial_shape", tuple(spatial_shape), num_spatial_dims)
    window = (kernel_size, stride, padding)
    options.update(groups=groups, use_bias=use_bias, algorithm=FOURIER)
    return Conv(num_spatial_dims, in_channels, out_channels, *window, **options)


PointwiseConv1d, PointwiseConv2d, PointwiseConv3d = by_rank(PointwiseConv)
DepthwiseConv1d, DepthwiseConv2d, DepthwiseConv3d = by_rank(DepthwiseConv)
GroupedConv1d, GroupedConv2d, GroupedConv3d = by_rank(GroupedConv)
_, LongConv2d, LongConv3d = by_rank(LongConv)
