"""Layers: things with parameters, built on `cnnlab.ops` and following Equinox's conventions.

A layer is `layer(x, *, key=None) -> y`; a stateful one (an `eqx.nn.StatefulLayer`: `BatchNorm`,
`ConvBlock`) is `layer(x, state, *, key=None) -> (y, state)`. A `Layer` says without running what it
gives, what it costs and which window it slides; `PointwiseConv` and its like are functions that
make a `Conv`. Arrays are channels last with any
leading batch axes, `(*batch, *spatial, c)`. Parameters are called `weight` and `bias`.
"""

from cnnlab.nn import factories, filters, replicas
from cnnlab.nn.activations import Activation, activation
from cnnlab.nn.anti_aliased import (
    BlurPool,
    BlurPool1d,
    BlurPool2d,
    BlurPool3d,
    PolyphasePool,
    PolyphasePool1d,
    PolyphasePool2d,
    PolyphasePool3d,
)
from cnnlab.nn.block import POOLS, ConvBlock, make_norm
from cnnlab.nn.conv import Conv, Conv1d, Conv2d, Conv3d
from cnnlab.nn.conv_transpose import (
    ConvTranspose,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from cnnlab.nn.conv_variants import (
    DepthwiseConv,
    DepthwiseConv1d,
    DepthwiseConv2d,
    DepthwiseConv3d,
    GroupedConv,
    GroupedConv1d,
    GroupedConv2d,
    GroupedConv3d,
    LongConv,
    LongConv2d,
    LongConv3d,
    PointwiseConv,
    PointwiseConv1d,
    PointwiseConv2d,
    PointwiseConv3d,
)
from cnnlab.nn.dropout import Dropout
from cnnlab.nn.fully_connected import (
    FullyConnected,
    FullyConnected1d,
    FullyConnected2d,
    FullyConnected3d,
)
from cnnlab.nn.gated import Gated, GatedBlock
from cnnlab.nn.group_conv import GROUPS, GroupConv2d, turned, turned_features
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import Convolution, Layer, ShapePreserving, WindowLayer
from cnnlab.nn.linear import Embedding, Identity, Linear
from cnnlab.nn.local import (
    LocallyConnected,
    LocallyConnected1d,
    LocallyConnected2d,
    LocallyConnected3d,
)
from cnnlab.nn.long_conv import LongConv1d
from cnnlab.nn.norm import BatchNorm, GroupNorm, LayerNorm
from cnnlab.nn.pool import (
    AvgPool,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalPool,
    MaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    Pool,
)
from cnnlab.nn.replicas import AXIS, pmean, rank
from cnnlab.nn.residual import ConvNeXtBlock, LayerScale, ResidualBlock
from cnnlab.nn.separable import SeparableConv, SeparableConv1d, SeparableConv2d, SeparableConv3d
from cnnlab.nn.separable_long import SeparableLongConv

__all__ = [
    "AXIS",
    "GROUPS",
    "POOLS",
    "Activation",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "BlurPool",
    "BlurPool1d",
    "BlurPool2d",
    "BlurPool3d",
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvBlock",
    "ConvNeXtBlock",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Convolution",
    "DepthwiseConv",
    "DepthwiseConv1d",
    "DepthwiseConv2d",
    "DepthwiseConv3d",
    "Dropout",
    "Embedding",
    "FullyConnected",
    "FullyConnected1d",
    "FullyConnected2d",
    "FullyConnected3d",
    "Gated",
    "GatedBlock",
    "GlobalPool",
    "GroupConv2d",
    "GroupNorm",
    "GroupedConv",
    "GroupedConv1d",
    "GroupedConv2d",
    "GroupedConv3d",
    "Identity",
    "Layer",
    "LayerNorm",
    "LayerScale",
    "Linear",
    "LocallyConnected",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "LocallyConnected3d",
    "LongConv",
    "LongConv1d",
    "LongConv2d",
    "LongConv3d",
    "MaxPool",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "PointwiseConv",
    "PointwiseConv1d",
    "PointwiseConv2d",
    "PointwiseConv3d",
    "PolyphasePool",
    "PolyphasePool1d",
    "PolyphasePool2d",
    "PolyphasePool3d",
    "Pool",
    "ResidualBlock",
    "SeparableConv",
    "SeparableConv1d",
    "SeparableConv2d",
    "SeparableConv3d",
    "SeparableLongConv",
    "ShapePreserving",
    "WindowLayer",
    "activation",
    "factories",
    "filters",
    "initializer",
    "make_norm",
    "pmean",
    "rank",
    "replicas",
    "turned",
    "turned_features",
]
