"""Residual networks (He et al. 2016, arXiv:1512.03385)."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.random as jr
from jaxtyping import PRNGKeyArray

from cnnlab import nn
from cnnlab.arguments import one_of
from cnnlab.models.backbone import Backbone
from cnnlab.models.plan import parse_plan
from cnnlab.nn import factories


class ResNet(Backbone):
    """A stem, then stages of residual blocks of two convolutions."""

    def __init__(
        self,
        in_shape: Sequence[int],
        plan: Sequence[object],
        *,
        stem: str = "cifar",
        conv: Callable[..., Callable] = factories.dense,
        norm: Callable[[int], Callable] | None = nn.BatchNorm,
        activation: str | Callable = "relu",
        kernel_size: int = 3,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of one input, `(*spatial, c)` with 1 to 3 spatial axes.
        - `plan`: the channels of each block, and `"M"` where the map is halved: by a stride of 2 in
          the block behind it. ResNet-18 is `[64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512]`.
        - `stem`: `"imagenet"`, a dense 7x7 convolution of stride 2 and maxima of 3x3 of stride 2;
          or `"cifar"`, for small images, a 3x3 convolution that keeps their size.
        - `conv`, `norm`, `activation`, `kernel_size`: of the blocks, as `VGG` takes them.

        **Raises:** `ValueError` that begins with the argument's name.
        """
        one_of("stem", stem, ("cifar", "imagenet"))
        self.in_shape = tuple(in_shape)
        stages = parse_plan(plan)
        key, subkey = jr.split(key)
        large = stem == "imagenet"
        begin = nn.ConvBlock(
            in_shape,
            stages[0].channels[:1],
            conv=factories.dense,
            norm=norm,
            activation=activation,
            kernel_size=7 if large else 3,
            pool="stride" if large else None,
            key=subkey,
        )
        layers: list[Callable] = [begin]
        shape = begin.out_shape
        if large:
            pool = nn.POOLS["max"](len(shape) - 1, 3, 2, padding="SAME")
            layers.append(pool)
            shape = pool.output_shape(shape)
        made, halve = [eqx.nn.Sequential(layers)], False
        for channels, downsample in stages:
            blocks = []
            for width in channels:
                key, subkey = jr.split(key)
                block = nn.ResidualBlock(
                    shape,
                    width,
                    stride=2 if halve else 1,
                    conv=conv,
                    norm=norm,
                    activation=activation,
                    kernel_size=kernel_size,
                    key=subkey,
                )
                blocks.append(block)
                shape, halve = block.out_shape, False
            made.append(eqx.nn.Sequential(blocks))
            halve = downsample
        self.stages = tuple(made)
        self.out_shape = shape
