"""The layers, one by one: what a translation of the input does to their outputs."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from cnnlab import nn, ops
from cnnlab.analysis.equivariance import equivariance_errors, invariance_error, relative_change

# Largest error, relative to the largest output, that float32 sums in another order leave: they
# round by 6e-8 a term, and a network's layers add up.
ROUNDING = 1e-5
CHANNELS = 4
SIDE = 24  # of the maps: a multiple of every stride
IMAGES = 4


@dataclass(frozen=True)
class Case:
    """A layer; `kind` of those that a claim speaks of together; `margin`, how many outputs at each
    end depend on padding."""

    make: Callable[[PRNGKeyArray], Any]
    kind: str
    padding: str
    stride: int = 1
    margin: int = 0


def _dense(key: PRNGKeyArray) -> Callable[[Array], Array]:
    """Flatten, multiply, unflatten (A 1.3)."""
    linear = nn.Linear(SIDE * SIDE * CHANNELS, SIDE * SIDE * CHANNELS, key=key)
    return eqx.nn.Lambda(lambda x: linear(x.reshape(len(x), -1)).reshape(x.shape))


def _batch_norm(key: PRNGKeyArray) -> Callable[[Array], Array]:
    norm, state = eqx.nn.make_with_state(nn.BatchNorm)(CHANNELS)
    return eqx.nn.Lambda(lambda x: norm(x, state)[0])


@functools.cache
def cases() -> dict[str, Case]:
    """Every layer with every padding; names are unique."""
    c = CHANNELS
    conv = functools.partial(nn.Conv2d, c, c, algorithm="lax")
    found = {}
    for mode in ("circular", "zeros", "reflect", "replicate"):
        make = lambda key, mode=mode: conv(3, padding_mode=mode, key=key)
        found[f"convolution, {mode}"] = Case(make, "convolution", mode, margin=1)
    found["convolution, no padding"] = Case(
        lambda key: conv(3, padding="VALID", key=key), "convolution", "none"
    )
    for mode in ("circular", "zeros"):
        window = {"kernel_size": 3, "padding_mode": mode, "algorithm": "lax"}
        variants = {
            "dilation 2": (functools.partial(nn.Conv2d, c, c, dilation=2, **window), 2),
            "depthwise": (functools.partial(nn.DepthwiseConv2d, c, **window), 1),
            "grouped": (functools.partial(nn.GroupedConv2d, c, c, groups=2, **window), 1),
            "separable": (functools.partial(nn.SeparableConv2d, c, c, **window), 1),
        }
        for name, (layer, margin) in variants.items():
            make = lambda key, layer=layer: layer(key=key)
            found[f"{name}, {mode}"] = Case(make, "convolution", mode, margin=margin)
    one = lambda key: nn.PointwiseConv2d(c, c, key=key)
    found["1x1"] = Case(one, "convolution", "none")
    for stride in (2, 3, 4):
        make = lambda key, s=stride: conv(3, stride=s, padding_mode="circular", key=key)
        found[f"stride {stride}, circular"] = Case(make, "strided", "circular", stride)
    for name, pool in (("max", nn.MaxPool2d), ("average", nn.AvgPool2d)):
        for size in (2, 3):
            make = lambda key, pool=pool, size=size: pool(size)
            found[f"{name}-pooling {size}x{size}"] = Case(make, "strided", "none", size)
    local = lambda key: nn.LocallyConnected2d(c, c, 3, (SIDE, SIDE), key=key)
    return {
        **found,
        "layer norm": Case(lambda key: nn.LayerNorm(c), "norm", "none"),
        "group norm": Case(lambda key: nn.GroupNorm(c, 2), "norm", "none"),
        "batch norm, training": Case(_batch_norm, "norm", "none"),
        "locally connected, zeros": Case(local, "unshared", "zeros", margin=1),
        "dense": Case(_dense, "unshared", "none"),
    }


def inputs(seed: int) -> Array:
    """Normal images `(b, SIDE, SIDE, CHANNELS)`."""
    shape = (IMAGES, SIDE, SIDE, CHANNELS)
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def layer_errors(case: Case, shifts: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """For every shift, along both axes at once: the errors over the `whole` output, and over the
    `interior`, away from padding; `None`: there is none."""
    layer, margin = eqx.filter_jit(case.make(jr.key(seed))), -(-case.margin // case.stride)
    facts = {"kind": case.kind, "padding": case.padding, "stride": case.stride}
    found = []
    for t in shifts:
        errors = equivariance_errors(layer, inputs(seed), (t, t), stride=case.stride, margin=margin)
        interior = None if np.isnan(errors.interior) else errors.interior
        found.append({**facts, "shift": t, "whole": errors.whole, "interior": interior})
    return found


def error_map(case: Case, shift: int, seed: int) -> list[list[float]]:
    """Where the outputs differ: `(*out,)`."""
    layer = eqx.filter_jit(case.make(jr.key(seed)))
    at = equivariance_errors(layer, inputs(seed), (shift, shift), stride=case.stride).at
    return np.round(at, 8).tolist()


def global_errors(shifts: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """By kind of global pooling and shift, the error of invariance."""
    pools = {kind: eqx.filter_jit(nn.GlobalPool(kind, 2)) for kind in ("avg", "max", "sum")}
    return [
        {"pool": kind, "shift": t, "error": invariance_error(pool, inputs(seed), (t, t))}
        for kind, pool in pools.items()
        for t in shifts
    ]


def peak_errors(window: int = 2) -> dict[str, int]:
    """A single peak, moved to every place of every window of a max-pooling: how many outputs are
    not the one of its first place, and how many were compared."""
    place = np.arange(SIDE * SIDE)
    images = np.zeros((place.size, SIDE, SIDE, 1), np.float32)
    images[place, place // SIDE, place % SIDE] = 1
    pooled = np.asarray(ops.max_pool(jnp.asarray(images), (window, window)))
    pooled = pooled.reshape(SIDE, SIDE, -1)
    first = pooled[::window, ::window].repeat(window, 0).repeat(window, 1)
    return {"differ": int((pooled != first).any(-1).sum()), "places": place.size}


def pooling_changes(
    images: Array, shifts: Sequence[int], window: int, seed: int
) -> list[dict[str, Any]]:
    """`||f(T x) - f(x)|| / ||f(x)||` of each example's rectified maps, as they are and pooled.

    **Arguments:** `images`, `(n, *spatial, c)`, normalised; the maps are those of a convolution
    with random weights.
    """
    rank, channels = images.ndim - 2, images.shape[-1]
    conv = nn.Conv(rank, channels, 8, 3, padding_mode="circular", key=jr.key(seed))
    maps = eqx.filter_jit(lambda x: conv(x, activation="relu"))(images)
    pools = {
        "no pooling": lambda x: x,
        "every other pixel": lambda x: x[(slice(None), *[slice(None, None, window)] * rank)],
        "max-pooling": nn.MaxPool(rank, window),
        "average pooling": nn.AvgPool(rank, window),
        "global average": nn.GlobalPool("avg", rank),
    }
    return [
        {"pool": name, "shift": t, "changes": relative_change(pool, maps, (t,) * rank).tolist()}
        for name, pool in pools.items()
        for t in shifts
    ]
