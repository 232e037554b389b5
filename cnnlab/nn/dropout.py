"""Dropout whose masks do not depend on how a batch is split over devices."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab.arguments import fraction, takes_arrays
from cnnlab.nn import replicas
from cnnlab.nn.layer import ShapePreserving


class Dropout(ShapePreserving):
    """Dropout (Srivastava et al. 2014): zero with probability `p`, the rest divided by `1 - p`.

    The mask of entry `i` of the leading axis comes from a key of its own,
    `fold_in(key, rank * len(x) + i)`, so that one device with the whole batch and several
    replicas with parts of it draw the same masks. `eqx.nn.inference_mode` switches it off.
    """

    p: float = eqx.field(static=True)
    inference: bool

    def __init__(self, p: float = 0.5, inference: bool = False):
        """**Raises:** `ValueError` unless `0 <= p < 1`."""
        self.p = fraction("p", p)
        self.inference = inference

    @takes_arrays
    def __call__(
        self, x: Float[Array, "*dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*dims"]:
        """**Arguments:** `x`, `(batch, ...)`.

        **Raises:** `ValueError` without a key, unless there is nothing to drop.
        """
        if self.inference or self.p == 0:
            return x
        if key is None:
            raise ValueError("key: dropout needs a key in training; see eqx.nn.inference_mode")
        keep = 1 - self.p
        keys = replicas.example_keys(key, x.shape[0])
        # Drawn flat: the same mask, but XLA takes several times longer to compile more axes.
        size = math.prod(x.shape[1:])
        mask = jax.vmap(lambda k: jr.bernoulli(k, keep, (size,)))(keys).reshape(x.shape)
        return jnp.where(mask, x / keep, 0)
