"""What `conv=` configs point to: functions that make a layer for a place in a backbone.

Every one is `f(in_channels, out_channels, *, kernel_size, stride=1, spatial_shape, key, ...)`, with
`spatial_shape` the spatial shape of the layer's input; its length says whether the layer is 1-D,
2-D or 3-D. `options` are arguments of the layer. Each drops into any backbone: with padding SAME
and stride 1 it keeps the spatial shape, and it takes any pair of channel counts.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from cnnlab.arguments import positive_int
from cnnlab.nn.conv import Conv
from cnnlab.nn.conv_variants import LongConv, PointwiseConv
from cnnlab.nn.filters import Filter
from cnnlab.nn.fully_connected import FullyConnected
from cnnlab.nn.local import LocallyConnected
from cnnlab.nn.options import options_of
from cnnlab.nn.separable import SeparableConv
from cnnlab.nn.separable_long import SeparableLongConv
from cnnlab.ops import REGISTRY, Ints


@options_of(Conv, "num_spatial_dims")
def dense(
    in_channels: int,
    out_channels: int,
    *,
    spatial_shape: Sequence[int],
    algorithm: str = "auto",
    **options: Any,
) -> Conv:
    """The convolution of A 3.2.

    `algorithm` is taken where it can serve the place, else `auto` (`cnnlab.summary` shows which).
    """
    make = functools.partial(Conv, len(spatial_shape), in_channels, out_channels, **options)
    layer = make(algorithm=algorithm)
    if algorithm not in REGISTRY:
        return layer
    problem = layer.problem((1, *spatial_shape, in_channels))
    return layer if REGISTRY[algorithm].refusal(problem) is None else make()


@options_of(Conv, "num_spatial_dims")
def dilated(
    in_channels: int,
    out_channels: int,
    *,
    spatial_shape: Sequence[int],
    dilation: Ints = 2,
    **options: Any,
) -> Conv:
    """A kernel with holes: a larger receptive field (A 4.1) for the same number of weights."""
    options["dilation"] = dilation
    return Conv(len(spatial_shape), in_channels, out_channels, **options)


@options_of(Conv, "num_spatial_dims")
def grouped(
    in_channels: int,
    out_channels: int,
    *,
    spatial_shape: Sequence[int],
    groups: int = 8,
    **options: Any,
) -> Conv:
    """Groupwise convolution (A 5.2) with `gcd(groups, in_channels, out_channels)` groups.

    So a first layer on 1 or 3 channels, which `groups` does not divide, has fewer groups or one.
    """
    options["groups"] = math.gcd(positive_int("groups", groups), in_channels, out_channels)
    return Conv(len(spatial_shape), in_channels, out_channels, **options)


@options_of(Conv, "num_spatial_dims", "groups")
def depthwise(
    in_channels: int, out_channels: int, *, spatial_shape: Sequence[int], **options: Any
) -> Conv:
    """As many groups as both channel counts allow: `gcd(in_channels, out_channels)`.

    Where `out_channels` is a multiple of `in_channels` that is the depthwise convolution of A 5.2,
    one channel a group, with `out_channels / in_channels` filters each. Otherwise (3 channels to
    32, say) the groups are the smallest possible.
    """
    options["groups"] = math.gcd(in_channels, out_channels)
    return Conv(len(spatial_shape), in_channels, out_channels, **options)


@options_of(SeparableConv, "num_spatial_dims")
def depthwise_separable(
    in_channels: int, out_channels: int, *, spatial_shape: Sequence[int], **options: Any
) -> SeparableConv:
    """Depthwise, then 1x1 (A 5.3)."""
    return SeparableConv(len(spatial_shape), in_channels, out_channels, **options)


@options_of(LocallyConnected, "num_spatial_dims")
def locally_connected(
    in_channels: int, out_channels: int, *, spatial_shape: Sequence[int], **options: Any
) -> LocallyConnected:
    """Local, nothing shared (A 2.4)."""
    options["spatial_shape"] = spatial_shape
    return LocallyConnected(len(spatial_shape), in_channels, out_channels, **options)


@options_of(FullyConnected, "num_spatial_dims")
def fully_connected(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints | None = None,
    spatial_shape: Sequence[int],
    **options: Any,
) -> FullyConnected:
    """Neither local nor shared (A 1.3): a matrix from image to image, refused where it has more
    than `max_weights` entries; the backbone's `kernel_size` is not used."""
    del kernel_size
    rank = len(spatial_shape)
    return FullyConnected(rank, in_channels, out_channels, spatial_shape, **options)


@options_of(LongConv, "num_spatial_dims")
def long(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints | None = None,
    spatial_shape: Sequence[int],
    groups: int = 1,
    filter: Callable[..., Filter] | None = None,
    **options: Any,
) -> Conv | SeparableLongConv:
    """A kernel as long as the input, by FFT (A 6.3); the backbone's `kernel_size` is not used.

    Without a `filter`, one weight for each position and pair of channels (`LongConv`). With one,
    depthwise kernels of few parameters along each axis, then 1x1 (`SeparableLongConv`). `groups` is
    reduced as in `grouped`.
    """
    del kernel_size
    options["groups"] = math.gcd(positive_int("groups", groups), in_channels, out_channels)
    rank = len(spatial_shape)
    if filter is None:
        return LongConv(rank, in_channels, out_channels, spatial_shape, **options)
    return SeparableLongConv(rank, in_channels, out_channels, filter=filter, **options)


@options_of(PointwiseConv, "num_spatial_dims")
def pointwise(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints | None = None,
    spatial_shape: Sequence[int],
    **options: Any,
) -> Conv:
    """1x1 convolution (A 5.1); the backbone's `kernel_size` is not used."""
    del kernel_size
    return PointwiseConv(len(spatial_shape), in_channels, out_channels, **options)
