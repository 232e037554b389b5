"""What backbones share: stages, one after another."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from cnnlab.models.streaming import Stream


class Backbone(eqx.nn.StatefulLayer):
    """`H = (stage o ... o stage)(X)` (A 4.6). Its subclasses say only which stages.

    Works on sequences `(n, c)`, images `(h, w, c)` and volumes `(d, h, w, c)`; where its first
    stage says what tokens are, on `(n,)` whole numbers.
    """

    stages: tuple[Any, ...]
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(
        self, x: Shaped[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "..."], eqx.nn.State]:
        """Maps `(*batch, *spatial, c)` to features `(*batch, *spatial', c')`."""
        return run_stages(self.stages, x, state, key)

    def stream(self, state: eqx.nn.State, *, length: int | None = None) -> Stream:
        """The features of one position after another, as of a whole sequence: see `Stream`."""
        return Stream(self, state, length=length)


def run_stages(
    stages: Sequence[Any], x: Array, state: eqx.nn.State, key: PRNGKeyArray | None
) -> tuple[Array, eqx.nn.State]:
    """Run stages one after the other, each with its own key."""
    keys = [None] * len(stages) if key is None else jr.split(key, len(stages))
    for stage, subkey in zip(stages, keys, strict=True):
        x, state = stage(x, state, key=subkey)
    return x, state
