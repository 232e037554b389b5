"""Layers and networks over groups, how far from equivariant they are, and turned images."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from cnnlab import analysis, nn
from cnnlab.data import Split
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Study

PLAIN = "plain"
TURNS = 4


def layer_errors(layer: str, seed: int, side: int = 12) -> list[dict[str, Any]]:
    """The largest `|f(T x) - T f(x)|` over the largest `|f(x)|`, for each element T of p4m, of two
    convolutions with maxima of 2x2 windows between them. Where T is no element of a layer's group,
    of its mean over orientations: what no order of these would put right."""
    group = None if layer == PLAIN else layer
    first, second = convolutions(group, (3, 4, 4), jr.key(seed))
    f = jax.jit(lambda x: second(nn.MaxPool2d(2)(jax.nn.relu(first(x)))))
    x = jr.normal(jr.key(seed + 1_000_000), (2, side, side, 3))
    before = f(x)

    def error(element: int) -> float:
        after, expected = f(nn.turned(x, element)), before
        if group is not None and element < nn.GROUPS[group]:
            expected = nn.turned_features(before, element)
        else:
            if group is not None:
                after, expected = after.mean(1), before.mean(1)
            expected = nn.turned(expected, element)
        return float(jnp.abs(after - expected).max() / jnp.abs(expected).max())

    return [{"element": element, "error": error(element)} for element in range(nn.GROUPS["p4m"])]


def convolutions(
    group: str | None, widths: Sequence[int], key: PRNGKeyArray, **options: Any
) -> list[nn.GroupConv2d | nn.Conv2d]:
    """3x3 layers from `widths[0]` channels on; over a group, the first one lifts."""
    pairs = list(itertools.pairwise(widths))
    keys = jr.split(key, len(pairs))
    if group is None:
        make = lambda i: functools.partial(nn.Conv2d, *pairs[i], 3)
    else:
        make = lambda i: functools.partial(
            nn.GroupConv2d, *pairs[i], 3, group=group, lifting=i == 0
        )
    return [make(i)(key=k, **options) for i, k in enumerate(keys)]


class Net(eqx.nn.StatefulLayer):
    """Convolutions with batch norms and max-pooling between them, then the mean over positions, and
    orientations, and a linear layer."""

    convs: list[nn.GroupConv2d | nn.Conv2d]
    norms: list[nn.BatchNorm]
    linear: nn.Linear

    def __init__(
        self,
        in_shape: tuple[int, ...],
        classes: int,
        *,
        widths: Sequence[int],
        group: str | None,
        key: PRNGKeyArray,
    ) -> None:
        first, last = jr.split(key)
        self.convs = convolutions(group, (in_shape[-1], *widths), first, use_bias=False)
        self.norms = [nn.BatchNorm(n) for n in widths]
        self.linear = nn.Linear(widths[-1], classes, key=last)

    def __call__(
        self, x: Float[Array, "b h w c"], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b k"], eqx.nn.State]:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = nn.MaxPool2d(2, padding="SAME")(x) if i else x
            x, state = norm(conv(x), state)
            x = jax.nn.relu(x)
        return self.linear(x.mean(range(1, x.ndim - 1))), state


def multiply_adds(study: Study) -> int:
    """Of one image, counted in the program of the whole network."""
    network, state = eqx.nn.inference_mode(study.initial(0))
    image = jnp.zeros((1, *study.data.input_shape))
    return analysis.cost(lambda x: network(x, state)[0], image).multiply_adds


def in_all_turns(split: Split) -> ArraySplit:
    """Every image four times, one after the other."""
    memory = split.in_memory()
    images = np.asarray(memory.image)
    turns = np.stack([np.rot90(images, n, (1, 2)) for n in range(TURNS)], 1)
    return ArraySplit(turns.reshape(-1, *images.shape[1:]), np.repeat(memory.label, TURNS))


def turned(images: Shaped[np.ndarray, "n h w c"]) -> Shaped[np.ndarray, "n h w c"]:
    """Each image by a number of quarter turns of its own, 0 to 3, the same at every call."""
    turns = np.random.default_rng(0).integers(0, TURNS, len(images))
    return np.stack([np.rot90(x, n) for x, n in zip(images, turns, strict=True)])
