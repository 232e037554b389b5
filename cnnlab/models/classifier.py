"""Backbone plus head (A 4.9, point 3)."""

from typing import Any

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from cnnlab.arguments import having
from cnnlab.models.streaming import Stream


class Classifier(eqx.nn.StatefulLayer):
    """A backbone that maps an input to features and a head that maps features to class scores.

    Build it with `eqx.nn.make_with_state`, which takes the running statistics out of the layers:

        model, state = eqx.nn.make_with_state(Classifier)(backbone, head)
    """

    backbone: Any
    head: Any

    def __init__(self, backbone: object, head: object):
        """**Arguments:**

        - `backbone`: `(x, state, *, key) -> (features, state)` with `in_shape`, `out_shape`.
        - `head`: `(features, state, *, key) -> (logits, state)` with `in_shape`, `num_classes`.

        **Raises:** `ValueError` if the head was made for features of another shape, `TypeError`
        for what is no backbone or no head.
        """
        self.backbone = having(
            "backbone", backbone, "a backbone such as VGG", "in_shape", "out_shape"
        )
        self.head = having("head", head, "a head such as LinearHead", "in_shape", "num_classes")
        given, expected = tuple(self.head.in_shape), tuple(self.backbone.out_shape)
        if given != expected:
            raise ValueError(
                f"head: expected a head for features of shape {expected}, got one for {given}"
            )

    def __call__(
        self, x: Shaped[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "... classes"], eqx.nn.State]:
        """Maps `(*batch, *in_shape)` to logits `(*batch, num_classes)`.

        `key` is for dropout: None is allowed when there is none or in inference mode.
        """
        keys = (None, None) if key is None else jr.split(key)
        features, state = self.backbone(x, state, key=keys[0])
        return self.head(features, state, key=keys[1])

    def stream(self, state: eqx.nn.State, *, length: int | None = None) -> Stream:
        """The scores of one position after another, as of a whole sequence: see `Stream`."""
        return Stream(self, state, length=length)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of one input, `(*spatial, c)`; `(n,)` of tokens."""
        return self.backbone.in_shape

    @property
    def num_classes(self) -> int:
        """Number of class scores."""
        return self.head.num_classes
