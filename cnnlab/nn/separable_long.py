"""Long convolutions of few parameters over sequences, images and volumes, then 1x1 (A 5.3, 6.3)."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import one_of, takes_arrays
from cnnlab.nn.conv import Conv
from cnnlab.nn.conv_variants import PointwiseConv
from cnnlab.nn.filters import S4D, Filter
from cnnlab.nn.layer import Layer, spatial_rank
from cnnlab.nn.long_conv import LongConv1d
from cnnlab.ops import Ints


class SeparableLongConv(Layer):
    """`LongConv1d` along each spatial axis, one after the other, and then a 1x1 convolution.

    Along several axes the kernel of a channel is the product of one kernel for each (S4ND, Nguyen
    et al. 2022, arXiv:2210.06583, 4.1). It takes any size.
    """

    along: tuple[LongConv1d, ...]
    pointwise: Conv

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        stride: Ints = 1,
        padding: str = "SAME",
        groups: int = 1,
        use_bias: bool = True,
        *,
        filter: Callable[..., Filter] = S4D,
        algorithm: str = "auto",
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** `padding`, `"SAME"` or, of sequences, `"CAUSAL"`; `filter` and
        `algorithm`, as of `LongConv1d`; the others are those of the 1x1 convolution.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        causal = one_of("padding", padding, ("SAME", "CAUSAL")) == "CAUSAL"
        if causal and rank > 1:
            raise ValueError(f"padding: 'CAUSAL' needs 1 spatial axis, got {rank}")
        *keys, last = jr.split(key, rank + 1)
        options = {"filter": filter, "causal": causal, "algorithm": algorithm}
        self.along = tuple(LongConv1d(in_channels, **options, key=k) for k in keys)
        self.pointwise = PointwiseConv(
            rank,
            in_channels,
            out_channels,
            stride,
            use_bias,
            groups=groups,
            kernel_init=kernel_init,
            key=last,
        )

    @property
    def window(self) -> None:
        """None: it is as large as the input."""
        return None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c_out"]:
        """**Arguments:** `x`, `(*batch, *spatial, in_channels)`."""
        del key
        for axis, layer in enumerate(self.along, -1 - len(self.along)):
            x = jnp.moveaxis(layer(jnp.moveaxis(x, axis, -2)), -2, axis)
        return self.pointwise(x)

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return self.pointwise.output_shape(in_shape)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Of the sums as they are defined, zeros beyond the ends included."""
        *spatial, channels = in_shape
        size = math.prod(spatial)
        zipped = zip(self.along, spatial, strict=True)
        rows = (size // n * layer.multiply_adds((n, channels)) for layer, n in zipped)
        return sum(rows) + self.pointwise.multiply_adds(in_shape)
