"""Convolutions with a constraint on the kernel (A 5.1, A 5.2, A 6.3): all of them are a `Conv`."""

import functools
from collections.abc import Callable, Sequence

from jaxtyping import PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import positive_int
from cnnlab.nn.conv import Conv
from cnnlab.ops import Padding


class PointwiseConv(Conv):
    """1x1 convolution: one dense layer for every pixel (A 5.1). `c c' + c'` parameters."""

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        stride: int | Sequence[int] = 1,
        use_bias: bool = True,
        *,
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """Arguments as `Conv`; with a stride, every stride-th pixel is kept."""
        super().__init__(
            num_spatial_dims,
            in_channels,
            out_channels,
            1,
            stride,
            use_bias=use_bias,
            kernel_init=kernel_init,
            key=key,
        )


class DepthwiseConv(Conv):
    """Each channel has its own spatial filters and mixes with no other (A 5.2).

    Output channel `c * channel_multiplier + j` is filter `j` of input channel `c`; `s^2 c`
    weights for each unit of the multiplier.
    """

    def __init__(
        self,
        num_spatial_dims: int,
        channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        dilation: int | Sequence[int] = 1,
        use_bias: bool = True,
        *,
        channel_multiplier: int = 1,
        padding_mode: str = "zeros",
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """Arguments as `Conv`; `channel_multiplier` is the number of filters for each channel."""
        channels = positive_int("channels", channels)
        super().__init__(
            num_spatial_dims,
            channels,
            channels * positive_int("channel_multiplier", channel_multiplier),
            kernel_size,
            stride,
            padding,
            dilation,
            channels,
            use_bias,
            padding_mode=padding_mode,
            algorithm=algorithm,
            kernel_init=kernel_init,
            key=key,
        )


class GroupedConv(Conv):
    """Channels in `groups` that do not mix with each other (A 5.2): `s^2 c c' / groups` weights."""

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        groups: int,
        stride: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        dilation: int | Sequence[int] = 1,
        use_bias: bool = True,
        *,
        padding_mode: str = "zeros",
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """Arguments as `Conv`, but `groups` has no default."""
        super().__init__(
            num_spatial_dims,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            use_bias,
            padding_mode=padding_mode,
            algorithm=algorithm,
            kernel_init=kernel_init,
            key=key,
        )


class LongConv(Conv):
    """Convolution whose kernel is as long as the input, by FFT (A 6.3).

    With padding `"CAUSAL"` (1-D) each output depends on the whole past and on nothing later.
    """

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        spatial_shape: Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: Padding = "SAME",
        groups: int = 1,
        use_bias: bool = True,
        *,
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """Arguments as `Conv`; `spatial_shape` is the input's and the kernel's."""
        super().__init__(
            num_spatial_dims,
            in_channels,
            out_channels,
            ops.to_tuple("spatial_shape", tuple(spatial_shape), num_spatial_dims),
            stride,
            padding,
            1,
            groups,
            use_bias,
            algorithm="fft",
            kernel_init=kernel_init,
            key=key,
        )


class PointwiseConv1d(PointwiseConv):
    """`PointwiseConv` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(PointwiseConv.__init__, 1)


class PointwiseConv2d(PointwiseConv):
    """`PointwiseConv` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(PointwiseConv.__init__, 2)


class PointwiseConv3d(PointwiseConv):
    """`PointwiseConv` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(PointwiseConv.__init__, 3)


class DepthwiseConv1d(DepthwiseConv):
    """`DepthwiseConv` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(DepthwiseConv.__init__, 1)


class DepthwiseConv2d(DepthwiseConv):
    """`DepthwiseConv` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(DepthwiseConv.__init__, 2)


class DepthwiseConv3d(DepthwiseConv):
    """`DepthwiseConv` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(DepthwiseConv.__init__, 3)


class GroupedConv1d(GroupedConv):
    """`GroupedConv` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(GroupedConv.__init__, 1)


class GroupedConv2d(GroupedConv):
    """`GroupedConv` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(GroupedConv.__init__, 2)


class GroupedConv3d(GroupedConv):
    """`GroupedConv` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(GroupedConv.__init__, 3)


class LongConv1d(LongConv):
    """`LongConv` of sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(LongConv.__init__, 1)


class LongConv2d(LongConv):
    """`LongConv` of images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(LongConv.__init__, 2)


class LongConv3d(LongConv):
    """`LongConv` of volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(LongConv.__init__, 3)
