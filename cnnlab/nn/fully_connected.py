"""A dense layer from image to image (A 1.3): everything sees everything, and nothing is shared."""

import functools
import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import ops
from cnnlab.arguments import positive_int, takes_arrays
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import Layer, spatial_rank
from cnnlab.ops import Ints
from cnnlab.ops.precision import add_bias, product

# 64 Mi weights, 256 MiB in float32; training keeps that a few times.
MAX_WEIGHTS = 2**26


class FullyConnected(Layer):
    """`H = unvect(W vect(X)) + b`: every output channel of every pixel depends on all channels of
    all pixels (A 1.3). An activation may follow, as it is elementwise: `unvect(phi(v)) =
    phi(unvect(v))`.

    `weight` is `(prod(spatial_shape) * in_channels, prod(out) * out_channels)`, the `(h w)^2 c c'`
    parameters of A 1.3 where `out` is `spatial_shape`; `bias` is `(*out, out_channels)` or None.
    """

    weight: Float[Array, "n_in n_out"]
    bias: Float[Array, "*out c_out"] | None
    in_channels: int = eqx.field(static=True)
    out_channels: int = eqx.field(static=True)
    spatial_shape: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        num_spatial_dims: int,
        in_channels: int,
        out_channels: int,
        spatial_shape: Sequence[int],
        stride: Ints = 1,
        use_bias: bool = True,
        *,
        max_weights: int = MAX_WEIGHTS,
        kernel_init: str | Callable = "he_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `spatial_shape`: the input's, the only one the layer takes.
        - `stride`: the output has `ceil(n / stride)` positions along each axis; 1 leaves their
          number unchanged, as in A 1.3.
        - `max_weights`: a layer with more is refused.
        - `kernel_init`: an initialiser's name (`nn.initializer`) or a function like it, for the
          matrix `weight`.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        rank = spatial_rank(num_spatial_dims)
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.spatial_shape = ops.to_tuple("spatial_shape", tuple(spatial_shape), rank)
        self.stride = ops.to_tuple("stride", stride, rank)
        sizes = math.prod(self.in_shape), math.prod(self.out_shape)
        if math.prod(sizes) > positive_int("max_weights", max_weights):
            raise ValueError(
                f"max_weights: a dense layer from {self.in_shape} to {self.out_shape} has "
                f"{math.prod(sizes):,} weights, more than {max_weights:,}"
            )
        self.weight = initializer(kernel_init)(key, sizes)
        self.bias = jnp.zeros(self.out_shape) if use_bias else None

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of one input, `(*spatial_shape, in_channels)`."""
        return (*self.spatial_shape, self.in_channels)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of one output, `(*out, out_channels)`."""
        out = (-(-n // s) for n, s in zip(self.spatial_shape, self.stride, strict=True))
        return (*out, self.out_channels)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims c_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*out c_out"]:
        """**Arguments:** `x`, `(*batch, *spatial_shape, in_channels)`; 16-bit floats are summed in
        float32.

        **Raises:** `ValueError` for any other shape.
        """
        del key
        rank = len(self.in_shape)
        if x.shape[-rank:] != self.in_shape:
            raise ValueError(f"x: expected shape (*batch, {self.in_shape}), got {x.shape}")
        dtype = jnp.result_type(x, self.weight)
        v, weight = ops.vect(x, rank).astype(dtype), self.weight.astype(dtype)
        y = ops.unvect(product("...i,ij->...j", v, weight), self.out_shape)
        return y if self.bias is None else add_bias(y, self.bias)

    @property
    def window(self) -> None:
        return None

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        """The layer's `out_shape`; `in_shape` is its own."""
        del in_shape
        return self.out_shape

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """The number of weights; `in_shape` is the layer's own."""
        del in_shape
        return self.weight.size


class FullyConnected1d(FullyConnected):
    """`FullyConnected` for sequences `(*batch, n, c)`."""

    __init__ = functools.partialmethod(FullyConnected.__init__, 1)


class FullyConnected2d(FullyConnected):
    """`FullyConnected` for images `(*batch, h, w, c)`."""

    __init__ = functools.partialmethod(FullyConnected.__init__, 2)


class FullyConnected3d(FullyConnected):
    """`FullyConnected` for volumes `(*batch, d, h, w, c)`."""

    __init__ = functools.partialmethod(FullyConnected.__init__, 3)
