"""VGG-style backbones: blocks of small convolutions, each block halving the map (A 4.6 to 4.8)."""

from collections.abc import Callable, Sequence

import jax.random as jr
from jaxtyping import PRNGKeyArray

from cnnlab import nn, ops
from cnnlab.arguments import one_of
from cnnlab.models.backbone import Backbone
from cnnlab.models.plan import parse_plan
from cnnlab.nn import factories

_POOLS = (*nn.POOLS, "stride")


class VGG(Backbone):
    """`H = (ConvBlock o ... o ConvBlock)(X)`, written as a plan (A 4.6)."""

    stages: tuple[nn.ConvBlock, ...]

    def __init__(
        self,
        in_shape: Sequence[int],
        plan: str | Sequence[object],
        *,
        conv: Callable[..., Callable] = factories.dense,
        norm: Callable[[int], Callable] | None = None,
        activation: str | Callable = "relu",
        kernel_size: ops.Ints = 3,
        pool: str = "max",
        pool_size: int = 2,
        pool_padding: ops.Padding = "SAME",
        use_bias: bool | None = None,
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of one input, `(*spatial, c)` with 1 to 3 spatial axes.
        - `plan`: channel counts, and `"M"` where a block ends by dividing the map by `pool_size`,
          such as `[32, 32, "M", 64]`; or `"vgg11"`, `"vgg13"`, `"vgg16"`, `"vgg19"`.
        - `conv`: makes a convolution, as those in `cnnlab.nn.factories`.
        - `norm`: makes a normalisation from a channel count, or None.
        - `activation`: name or function, after every convolution (and its normalisation).
        - `kernel_size`: of every convolution.
        - `pool`: `"max"` (A 4.5) or `"avg"`, windows of `pool_size`; `"blur"` or `"polyphase"`,
          which mind shifts (A 4.3; the second needs sizes that `pool_size` divides); or `"stride"`:
          no pooling, that stride in the last convolution of the block (A 4.7).
        - `pool_padding`: `"SAME"`, so that any size works; the published networks have `"VALID"`.
        - `use_bias`: None gives the convolutions a bias only where there is no normalisation.
        - `dropout`: probability of dropping a feature, after every activation.

        **Raises:** `ValueError` that begins with the argument's name, such as
        `plan[3]: expected a channel count > 0 or 'M', got -64`.
        """
        self.in_shape = tuple(in_shape)
        one_of("pool", pool, _POOLS)  # also where no block has one
        shape, stages = self.in_shape, []
        for channels, downsample in parse_plan(plan):
            key, subkey = jr.split(key)
            block = nn.ConvBlock(
                shape,
                channels,
                conv=conv,
                norm=norm,
                activation=activation,
                kernel_size=kernel_size,
                pool=pool if downsample else None,
                pool_size=pool_size,
                pool_padding=pool_padding,
                use_bias=use_bias,
                dropout=dropout,
                key=subkey,
            )
            stages.append(block)
            shape = block.out_shape
        self.stages = tuple(stages)
        self.out_shape = shape


def prototype(
    in_shape: Sequence[int],
    *,
    conv: Callable[..., Callable] = factories.dense,
    activation: str | Callable = "relu",
    key: PRNGKeyArray,
) -> VGG:
    """The backbone of the chapter's example (A 4.8): 32 filters, pool, 64 filters, pool.

    With input `(64, 64, 3)` the maps are `(64, 64, 32)`, `(32, 32, 32)`, `(32, 32, 64)` and
    `(16, 16, 64)`.
    """
    return VGG(in_shape, [32, "M", 64, "M"], conv=conv, activation=activation, key=key)
