"""A backbone of gated long convolutions, for sequences."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.random as jr
from jaxtyping import PRNGKeyArray

from cnnlab import nn
from cnnlab.arguments import positive_int
from cnnlab.models.backbone import Backbone
from cnnlab.nn.filters import S4D, Filter


class SequenceModel(Backbone):
    """A linear layer to `width` channels (of tokens, an embedding), `depth` times `nn.GatedBlock`,
    a norm: features of every position that depend on it and on what was before.

    With `LinearHead` (pooled) it classifies sequences, with `ConvHead(pool="none")` every position.
    It takes longer sequences than `in_shape` says, too.
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        *,
        width: int = 64,
        depth: int = 2,
        filter: Callable[..., Filter] = S4D,
        short: int = 3,
        expansion: int = 2,
        dropout: float = 0.0,
        vocabulary: int | None = None,
        key: PRNGKeyArray,
    ):
        """**Arguments:** `in_shape`, `(n, c)`, or `(n,)` of tokens, of which there are
        `vocabulary`; the others as `nn.GatedBlock` takes them.

        **Raises:** `ValueError`, in one line that begins with the argument's name.
        """
        self.in_shape = tuple(in_shape)
        if len(self.in_shape) != (2 if vocabulary is None else 1):
            expected = "(n, c)" if vocabulary is None else "(n,), as it is of tokens"
            raise ValueError(f"in_shape: expected a sequence's {expected}, got {self.in_shape}")
        width = positive_int("width", width)
        first, *keys = jr.split(key, positive_int("depth", depth) + 1)
        make = lambda key: nn.GatedBlock(
            width, filter=filter, short=short, expansion=expansion, dropout=dropout, key=key
        )
        if vocabulary is None:
            enter = nn.Linear(self.in_shape[-1], width, key=first)
        else:
            enter = nn.Embedding(vocabulary, width, key=first)
        self.stages = (
            eqx.nn.Sequential([enter]),
            *(make(key) for key in keys),
            eqx.nn.Sequential([nn.LayerNorm(width)]),
        )
        self.out_shape = self.in_shape[0], width
