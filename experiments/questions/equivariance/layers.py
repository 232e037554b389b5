"""The layers, one by one: what a translation of the input does to their outputs."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from cnnlab import nn, ops
from cnnlab.analysis.equivariance import equivariance_errors, invariance_error, relative_change
from cnnlab.lab import Records

# Largest error, relative to the largest output, that float32 sums in another order leave: they
# round by 6e-8 a term, and a network's layers add up.
ROUNDING = 1e-5
CHANNELS = 4
SIDE = 24  # of the maps: a multiple of every stride
IMAGES = 4


@dataclass(frozen=True)
class Case:
    """A layer, `make(key=key)`; `kind` of those that a claim speaks of together; `margin`, how many
    outputs at each end depend on padding."""

    make: Callable[..., Any]
    kind: str
    padding: str = "none"
    stride: int = 1
    margin: int = 0


@functools.cache
def cases() -> dict[str, Case]:
    """Every layer with every padding; names are unique."""
    c, window = CHANNELS, {"kernel_size": 3, "algorithm": "lax"}
    conv = partial(nn.Conv2d, c, c, **window)
    found = {}

    def padded(name: str, layer: Callable[..., Any], mode: str, margin: int = 1) -> None:
        make = partial(layer, padding_mode=mode)
        found[f"{name}, {mode}"] = Case(make, "convolution", mode, margin=margin)

    for mode in ("circular", "zeros", "reflect", "replicate"):
        padded("convolution", conv, mode)
    found["convolution, no padding"] = Case(partial(conv, padding="VALID"), "convolution")
    for mode in ("circular", "zeros"):
        padded("dilation 2", partial(conv, dilation=2), mode, margin=2)
        padded("depthwise", partial(nn.DepthwiseConv2d, c, **window), mode)
        padded("grouped", partial(nn.GroupedConv2d, c, c, groups=2, **window), mode)
        padded("separable", partial(nn.SeparableConv2d, c, c, **window), mode)
    found["1x1"] = Case(partial(nn.PointwiseConv2d, c, c), "convolution")
    for stride in (2, 3, 4):
        make = partial(conv, stride=stride, padding_mode="circular")
        found[f"stride {stride}, circular"] = Case(make, "strided", "circular", stride)
    made = lambda layer: lambda key: layer  # there is nothing to draw
    for name, pool in (("max", nn.MaxPool2d), ("average", nn.AvgPool2d)):
        for n in (2, 3):
            found[f"{name}-pooling {n}x{n}"] = Case(made(pool(n)), "strided", stride=n)
    batch_norm, state = eqx.nn.make_with_state(nn.BatchNorm)(c)
    training = eqx.nn.Lambda(lambda x: batch_norm(x, state)[0])
    local = partial(nn.LocallyConnected2d, c, c, 3, (SIDE, SIDE))
    dense = partial(nn.FullyConnected2d, c, c, (SIDE, SIDE), kernel_init="lecun_normal")
    return {
        **found,
        "layer norm": Case(made(nn.LayerNorm(c)), "norm"),
        "group norm": Case(made(nn.GroupNorm(c, 2)), "norm"),
        "batch norm, training": Case(made(training), "norm"),
        "locally connected, zeros": Case(local, "unshared", "zeros", margin=1),
        "dense": Case(dense, "unshared"),
    }


def inputs(seed: int) -> Array:
    """Normal images `(b, SIDE, SIDE, CHANNELS)`."""
    shape = (IMAGES, SIDE, SIDE, CHANNELS)
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def layer_errors(case: Case, shifts: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """For every shift, along both axes at once: the errors over the `whole` output, and over the
    `interior`, away from padding; `None`: there is none."""
    layer, margin = eqx.filter_jit(case.make(key=jr.key(seed))), -(-case.margin // case.stride)
    facts = {"kind": case.kind, "padding": case.padding, "stride": case.stride}
    found = []
    for t in shifts:
        errors = equivariance_errors(layer, inputs(seed), (t, t), stride=case.stride, margin=margin)
        interior = None if np.isnan(errors.interior) else errors.interior
        found.append({**facts, "shift": t, "whole": errors.whole, "interior": interior})
    return found


def error_map(case: Case, shift: int, seed: int) -> list[list[float]]:
    """Where the outputs differ: `(*out,)`."""
    layer = eqx.filter_jit(case.make(key=jr.key(seed)))
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


def interior(rows: Records) -> list[float]:
    """The errors away from padding, where there is an interior."""
    return [error for error in rows["interior"] if error is not None]


def multiples(rows: Records) -> Records:
    """Those of shifts by multiples of the stride."""
    return rows.where(lambda row: row["shift"] % row["stride"] == 0)
