"""The layers whose reach is measured, and the measurements."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from cnnlab import nn
from cnnlab.analysis import locality
from cnnlab.analysis.fields import fields
from cnnlab.analysis.jacobian import jacobian_matrix


@dataclass(frozen=True)
class Layer:
    """A layer `(h, w, c) -> (h', w', c)`; the radius that its kernel says it has, `None` where it
    has none smaller than the image; `inputs`, at how many its Jacobian must be taken."""

    apply: Callable[[Array], Array]
    expected: float | None
    module: Any
    inputs: int = 1
    # Whether an output depends on all of its patch: not with holes in the kernel.
    full: bool = True


def layers(size: int, channels: int, kernels: list[int], seed: int) -> dict[str, Layer]:
    """Every kind of layer, on images `(size, size, channels)`, with random weights."""
    key, c = jr.key(seed), channels
    spatial = (size, size)

    def of(module: Any, expected: float | None, **options: Any) -> Layer:
        return Layer(lambda x: module(x[None])[0], expected, module, **options)

    dense = nn.Linear(size * size * c, size * size * c, key=key)
    found = {
        "dense": Layer(lambda x: dense(x.reshape(-1)).reshape(x.shape), None, None),
        "group norm": of(nn.GroupNorm(c, 1), None),
        "layer norm": of(nn.LayerNorm(c), 0),
    }
    for s in kernels:
        conv = nn.Conv2d(c, c, s, algorithm="lax", key=key)
        local = nn.LocallyConnected2d(c, c, s, spatial, key=key)
        found[f"convolution {s}x{s}"] = of(conv, (s - 1) / 2)
        found[f"locally connected {s}x{s}"] = of(local, (s - 1) / 2)
    for d in (2, 3):
        conv = nn.Conv2d(c, c, 3, dilation=d, algorithm="lax", key=key)
        found[f"convolution 3x3, dilation {d}"] = of(conv, d, full=False)
    separable = nn.SeparableConv2d(c, c, 3, algorithm="lax", key=key)
    return {
        **found,
        "depthwise 3x3": of(nn.DepthwiseConv2d(c, 3, algorithm="lax", key=key), 1),
        "separable 3x3": of(separable, 1),
        "convolution 3x3 by FFT": of(nn.Conv2d(c, c, 3, algorithm="fft", key=key), 1),
        f"long convolution {size}x{size}": of(nn.LongConv2d(c, c, spatial, key=key), size // 2),
        "max-pooling 2x2": of(nn.MaxPool2d(2), 0.5, inputs=64),
        "average pooling 2x2": of(nn.AvgPool2d(2), 0.5),
        "average pooling 3x3, stride 1": of(nn.AvgPool2d(3, 1, "SAME"), 1),
    }


def reach(layer: Layer, size: int, channels: int, seed: int) -> dict[str, Any]:
    """A layer's radius, how its support differs from the patch, its profile, a picture of it."""
    shape = (size, size, channels)
    xs = locality.random_inputs(shape, layer.inputs, seed)
    strength = locality.strength(layer.apply, xs)
    support = locality.support(strength)
    out, spatial = strength.shape[:2], strength.shape[2:]
    where = {}
    if isinstance(layer.module, nn.WindowLayer):
        field = fields(layer.module, shape)[-1]
        where = {"stride": field.stride, "centre": field.centre}
    distances = locality.distances(out, spatial, **where)
    radius = locality.radius(support, distances)
    patch = distances <= (radius if layer.expected is None else layer.expected)
    middle = tuple(n // 2 for n in out)
    return {
        "expected": layer.expected,
        "radius": radius,
        "full": layer.full,
        "farthest": float(distances.max()),
        "share": float(support.mean()),
        "unlike_patch": int((support != patch).sum()),
        "compared": patch.size,
        "outside": float(strength[~patch].max(initial=0) / strength.max()),
        "profile": sorted(locality.profile(strength, distances).items()),
        "picture": (strength[middle] / strength[middle].max()).tolist(),
    }


def dense_zeros(layer: Layer, size: int, channels: int) -> list[int]:
    """Zeros in the dense layer's Jacobian, and its entries: every pair of numbers in and out."""
    matrix = jacobian_matrix(layer.apply, (size, size, channels))
    return [int((matrix == 0).sum()), matrix.size]


def pooling_entries(size: int, channels: int, seed: int) -> list[int]:
    """Entries of the 2x2 max-pooling's dependence, channels apart, that are not those of A 4.5, and
    how many were compared."""
    pool = nn.MaxPool2d(2)
    depends = False
    for x in locality.random_inputs((size, size, channels), 64, seed):
        depends |= jacobian_matrix(lambda x: pool(x[None])[0], x) != 0
    half = size // 2
    depends = depends.reshape(half, half, channels, size, size, channels)
    i, j, c, p, q, d = np.indices(depends.shape, sparse=True)
    # The chapter counts from 1: p in {2i - 1, 2i}.
    within = lambda p, i: (p + 1 == 2 * (i + 1) - 1) | (p + 1 == 2 * (i + 1))
    printed = within(p, i) & within(q, j) & (c == d)
    return [int((depends != printed).sum()), depends.size]


def equal_patches(layer: Layer, size: int, channels: int, kernel: int) -> float:
    """How far the outputs of pixels with equal patches differ, relative to the largest output: in a
    constant image, all whose patch lies inside it."""
    y = np.asarray(layer.apply(jnp.ones((size, size, channels))))
    k = (kernel - 1) // 2
    inside = y[k : size - k, k : size - k].reshape(-1, channels)
    return float(np.ptp(inside, axis=0).max() / np.abs(inside).max())
