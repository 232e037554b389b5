"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545): a convolutional network in a transformer's form."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.random as jr
from jaxtyping import PRNGKeyArray

from cnnlab import nn
from cnnlab.arguments import positive_int
from cnnlab.models.backbone import Backbone
from cnnlab.models.plan import parse_plan
from cnnlab.nn import factories


class ConvNeXt(Backbone):
    """Patches, then stages of `nn.ConvNeXtBlock`; in front of each of them a norm and a convolution
    that reduces the map."""

    def __init__(
        self,
        in_shape: Sequence[int],
        plan: Sequence[object],
        *,
        patch_size: int = 4,
        conv: Callable[..., Callable] = factories.depthwise,
        norm: Callable[[int], Callable] | None = nn.LayerNorm,
        activation: str | Callable = "gelu",
        kernel_size: int = 7,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of one input, `(*spatial, c)` with 1 to 3 spatial axes.
        - `plan`: the channels of each block, the same within a stage, and `"M"` where the map is
          halved. ConvNeXt-T is 3 blocks of 96, 3 of 192, 9 of 384 and 3 of 768.
        - `patch_size`: what the stem makes one position of; 4 for ImageNet's images.
        - `conv`, `norm`, `activation`, `kernel_size`: of the blocks, as `VGG` takes them.

        **Raises:** `ValueError` that begins with the argument's name.
        """
        self.in_shape = shape = tuple(in_shape)
        made, reduction = [], positive_int("patch_size", patch_size)
        for i, (channels, downsample) in enumerate(parse_plan(plan)):
            if len(set(channels)) > 1:
                raise ValueError(
                    f"plan: expected the same channels in all blocks of a stage, got {channels}"
                )
            key, subkey = jr.split(key)
            # The first has its norm behind it, the others before.
            reduce = nn.ConvBlock(
                shape,
                channels[:1],
                conv=factories.dense,
                norm=None if i else norm,
                activation="identity",
                kernel_size=reduction,
                pool="stride" if reduction > 1 else None,
                pool_size=reduction,
                use_bias=True,
                key=subkey,
            )
            before = [nn.make_norm(norm, shape)] if i and norm is not None else []
            shape = reduce.out_shape
            layers = [*before, reduce]
            for _ in channels:
                key, subkey = jr.split(key)
                block = nn.ConvNeXtBlock(
                    shape,
                    conv=conv,
                    norm=norm,
                    activation=activation,
                    kernel_size=kernel_size,
                    key=subkey,
                )
                layers.append(block)
            made.append(eqx.nn.Sequential(layers))
            reduction = 2 if downsample else 1
        self.stages = tuple(made)
        self.out_shape = shape
