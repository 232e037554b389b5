"""Dense layer on the last axis, its like for tokens, and the layer that does nothing."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from cnnlab.arguments import check_channels, positive_int, takes_arrays
from cnnlab.nn.initializers import initializer
from cnnlab.nn.layer import Layer, ShapePreserving
from cnnlab.ops.precision import accumulation_dtype, add_bias


class Linear(Layer):
    """`y = x W + b` on the last axis, whatever axes come before.

    `weight` is `(in_features, out_features)`, the layout of a kernel without spatial axes;
    `bias` is `(out_features,)` or None.
    """

    weight: Float[Array, "n_in n_out"]
    bias: Float[Array, " n_out"] | None
    in_features: int = eqx.field(static=True)
    out_features: int = eqx.field(static=True)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        use_bias: bool = True,
        *,
        kernel_init: str | Callable = "lecun_normal",
        key: PRNGKeyArray,
    ):
        """**Arguments:** `kernel_init`, an initialiser's name (`nn.initializer`) or a function like
        it."""
        self.in_features = positive_int("in_features", in_features)
        self.out_features = positive_int("out_features", out_features)
        self.weight = initializer(kernel_init)(key, (self.in_features, self.out_features))
        self.bias = jnp.zeros(self.out_features) if use_bias else None

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims n_in"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims n_out"]:
        """**Arguments:** `x`, `(*batch, in_features)`; 16-bit floats are summed in float32."""
        del key
        check_channels(x, self.in_features)
        dtype = jnp.result_type(x, self.weight)
        # As rows: the gradient in the weight then takes XLA's CPU backend half of the time.
        y = jnp.matmul(
            x.reshape(-1, self.in_features).astype(dtype),
            self.weight.astype(dtype),
            preferred_element_type=accumulation_dtype(dtype),
        )
        y = y.astype(dtype).reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else add_bias(y, self.bias)

    @property
    def window(self) -> None:
        return None

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (*in_shape[:-1], self.out_features)

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """Of one example of shape `(..., in_features)`."""
        return math.prod(in_shape) * self.out_features


class Embedding(Layer):
    """A vector for each of a vocabulary's tokens: `Linear` of what is one-hot.

    `weight` is `(vocabulary, features)`, drawn with a deviation of 1.
    """

    weight: Float[Array, "v n"]

    def __init__(self, vocabulary: int, features: int, *, key: PRNGKeyArray):
        """**Raises:** `ValueError`, in one line that begins with the argument's name."""
        shape = positive_int("vocabulary", vocabulary), positive_int("features", features)
        self.weight = jr.normal(key, shape)

    @takes_arrays
    def __call__(
        self, x: Shaped[Array, "*dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims n"]:
        """**Arguments:** `x`, `(*batch, length)` whole numbers from 0 to `vocabulary - 1`.

        **Raises:** `ValueError`: numbers that are not whole.
        """
        del key
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise ValueError(f"x: expected tokens, whole numbers, got {x.dtype}")
        return self.weight[x]

    @property
    def window(self) -> None:
        return None

    def output_shape(self, in_shape: Sequence[int]) -> tuple[int, ...]:
        return (*in_shape, self.weight.shape[1])

    def multiply_adds(self, in_shape: Sequence[int]) -> int:
        """0: nothing is multiplied."""
        del in_shape
        return 0


class Identity(ShapePreserving):
    """Returns its input."""

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims"]:
        del key
        return x
