"""Activations by name: the elementwise nonlinearity between convolutions (A 4.2, B eq. 10.6)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import one_of, takes_arrays
from cnnlab.nn.layer import ShapePreserving


def _identity(x: Array) -> Array:
    return x


def _mish(x: Array) -> Array:
    return x * jnp.tanh(jax.nn.softplus(x))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "hard_tanh": jax.nn.hard_tanh,
    "identity": _identity,
    "leaky_relu": jax.nn.leaky_relu,
    "mish": _mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "square": jnp.square,  # B 10.2, Problem 10.2.2
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}


class Activation(ShapePreserving):
    """An elementwise function as a layer, known by its name.

    `layer(x)` keeps shape and dtype.
    """

    name: str = eqx.field(static=True)

    def __init__(self, activation: str):
        """**Arguments:** `activation`, a key of `ACTIVATIONS`.

        **Raises:** `ValueError` for any other.
        """
        self.name = one_of("activation", activation, ACTIVATIONS)

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims"]:
        del key
        return ACTIVATIONS[self.name](x)


def activation(activation: str | Callable[[Array], Array]) -> Callable[..., Array]:
    """The layer for an activation's name; a callable that is no name becomes a layer as it is.

    **Raises:** `ValueError` for an unknown name: it lists the known ones and names the nearest.
    """
    if isinstance(activation, str):
        return Activation(activation)
    return activation if isinstance(activation, eqx.Module) else eqx.nn.Lambda(activation)
