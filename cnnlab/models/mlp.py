"""The fully-connected baseline: flatten, then dense layers (A 1.3)."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import nn
from cnnlab.arguments import positive_int
from cnnlab.models.backbone import run_stages
from cnnlab.models.flatten import Flatten


class MLP(eqx.nn.StatefulLayer):
    """`h = phi(W vect(X) + b)`, once per width: the baseline that ignores the grid (A 1.3)."""

    flatten: Flatten
    stages: tuple[eqx.nn.Sequential, ...]
    in_shape: tuple[int, ...] = eqx.field(static=True)
    out_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_shape: Sequence[int],
        widths: Sequence[int],
        *,
        activation: str | Callable = "relu",
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ):
        """**Arguments:**

        - `in_shape`: shape of one input, `(*spatial, c)` or `(d,)`.
        - `widths`: output sizes of the layers. With none, the features are the flattened input,
          and a `LinearHead` on them is softmax regression.
        - `activation`: name or function, after every layer.
        - `dropout`: probability of dropping a unit, after every activation.

        **Raises:** `ValueError` for a width below one.
        """
        self.in_shape = tuple(in_shape)
        self.flatten = Flatten(self.in_shape)
        self.stages = mlp_stages("widths", self.flatten.size, widths, activation, dropout, key)
        self.out_shape = ((self.flatten.size, *widths)[-1],)

    def __call__(
        self, x: Float[Array, "..."], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "... features"], eqx.nn.State]:
        """Maps `(*batch, *in_shape)` to `(*batch, widths[-1])`."""
        return run_stages(self.stages, self.flatten(x), state, key)


def mlp_stages(
    name: str,
    in_size: int,
    widths: Sequence[int],
    activation: str | Callable,
    dropout: float,
    key: PRNGKeyArray,
) -> tuple[eqx.nn.Sequential, ...]:
    """One `Sequential(linear, activation, dropout)` per width; `name` is for the error message."""
    for i, width in enumerate(widths):
        positive_int(f"{name}[{i}]", width)
    stages = []
    for size, width in zip((in_size, *widths), widths, strict=False):
        key, subkey = jr.split(key)
        layers = [nn.Linear(size, width, key=subkey), nn.activation(activation)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        stages.append(eqx.nn.Sequential(layers))
    return tuple(stages)
