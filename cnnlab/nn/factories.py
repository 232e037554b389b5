"""What `conv=` configs point to: functions that make a layer for a place in a backbone.

Every one is `f(in_channels, out_channels, *, kernel_size, stride=1, spatial_shape, key, ...)`, with
`spatial_shape` the spatial shape of the layer's input; its length says whether the layer is 1-D,
2-D or 3-D. Each drops into any backbone: with padding SAME and stride 1 it keeps the spatial shape,
and it takes any pair of channel counts. Where a function only fixes one of `dense`'s options, it
hands on its own arguments with `locals()`.
"""

import functools
import math
from collections.abc import Callable, Sequence

from jaxtyping import PRNGKeyArray

from cnnlab.arguments import positive_int
from cnnlab.nn.conv import Conv
from cnnlab.nn.conv_variants import LongConv, PointwiseConv
from cnnlab.nn.fully_connected import MAX_WEIGHTS, FullyConnected
from cnnlab.nn.local import LocallyConnected
from cnnlab.nn.separable import SeparableConv
from cnnlab.ops import REGISTRY, Padding

Ints = int | Sequence[int]


def dense(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    padding: Padding = "SAME",
    dilation: Ints = 1,
    groups: int = 1,
    use_bias: bool = True,
    padding_mode: str = "zeros",
    algorithm: str = "auto",
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> Conv:
    """The convolution of A 3.2; options as `nn.Conv`.

    `algorithm` is taken where it can serve the place, else `auto` (`cnnlab.summary` shows which).
    """
    make = functools.partial(
        Conv,
        len(spatial_shape),
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        use_bias,
        padding_mode=padding_mode,
        kernel_init=kernel_init,
        key=key,
    )
    layer = make(algorithm=algorithm)
    if algorithm == "auto":
        return layer
    problem = layer.problem((1, *spatial_shape, in_channels))
    if algorithm not in REGISTRY:
        return layer
    return layer if REGISTRY[algorithm].refusal(problem) is None else make()


def dilated(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    dilation: Ints = 2,
    padding: Padding = "SAME",
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> Conv:
    """A kernel with holes: a larger receptive field (A 4.1) for the same number of weights."""
    return dense(**locals())


def grouped(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    groups: int = 8,
    padding: Padding = "SAME",
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> Conv:
    """Groupwise convolution (A 5.2) with `gcd(groups, in_channels, out_channels)` groups.

    So a first layer on 1 or 3 channels, which `groups` does not divide, has fewer groups or one.
    """
    return dense(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        spatial_shape=spatial_shape,
        groups=math.gcd(positive_int("groups", groups), in_channels, out_channels),
        padding=padding,
        use_bias=use_bias,
        kernel_init=kernel_init,
        key=key,
    )


def depthwise(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    padding: Padding = "SAME",
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> Conv:
    """As many groups as both channel counts allow: `gcd(in_channels, out_channels)`.

    Where `out_channels` is a multiple of `in_channels` that is the depthwise convolution of A 5.2,
    one channel a group, with `out_channels / in_channels` filters each. Otherwise (3 channels to
    32, say) the groups are the smallest possible.
    """
    return dense(
        in_channels,
        out_channels,
        kernel_size=kernel_size,
        stride=stride,
        spatial_shape=spatial_shape,
        groups=math.gcd(in_channels, out_channels),
        padding=padding,
        use_bias=use_bias,
        kernel_init=kernel_init,
        key=key,
    )


def depthwise_separable(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    channel_multiplier: int = 1,
    padding: Padding = "SAME",
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> SeparableConv:
    """Depthwise, then 1x1 (A 5.3); options as `nn.SeparableConv`."""
    return SeparableConv(
        len(spatial_shape),
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        use_bias=use_bias,
        channel_multiplier=channel_multiplier,
        kernel_init=kernel_init,
        key=key,
    )


def locally_connected(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    padding: Padding = "SAME",
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> LocallyConnected:
    """Local, nothing shared (A 2.4); options as `nn.LocallyConnected`."""
    return LocallyConnected(
        len(spatial_shape),
        in_channels,
        out_channels,
        kernel_size,
        spatial_shape,
        stride,
        padding,
        use_bias=use_bias,
        kernel_init=kernel_init,
        key=key,
    )


def fully_connected(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints | None = None,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    use_bias: bool = True,
    max_weights: int = MAX_WEIGHTS,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> FullyConnected:
    """Neither local nor shared (A 1.3): a matrix from image to image, refused where it has more
    than `max_weights` entries; the backbone's `kernel_size` is not used."""
    del kernel_size
    return FullyConnected(
        len(spatial_shape),
        in_channels,
        out_channels,
        spatial_shape,
        stride,
        use_bias,
        max_weights=max_weights,
        kernel_init=kernel_init,
        key=key,
    )


def long(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints | None = None,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    padding: Padding = "SAME",
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> LongConv:
    """A kernel as long as the input, by FFT (A 6.3); the backbone's `kernel_size` is not used.

    `groups` is reduced as in `grouped`.
    """
    del kernel_size
    return LongConv(
        len(spatial_shape),
        in_channels,
        out_channels,
        spatial_shape,
        stride,
        padding,
        math.gcd(positive_int("groups", groups), in_channels, out_channels),
        use_bias,
        kernel_init=kernel_init,
        key=key,
    )


def pointwise(
    in_channels: int,
    out_channels: int,
    *,
    kernel_size: Ints | None = None,
    stride: Ints = 1,
    spatial_shape: Sequence[int],
    use_bias: bool = True,
    kernel_init: str | Callable = "he_normal",
    key: PRNGKeyArray,
) -> PointwiseConv:
    """1x1 convolution (A 5.1); the backbone's `kernel_size` is not used."""
    del kernel_size
    return PointwiseConv(
        len(spatial_shape),
        in_channels,
        out_channels,
        stride,
        use_bias,
        kernel_init=kernel_init,
        key=key,
    )
