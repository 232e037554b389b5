"""Every kind of layer, and how far it looks."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from cnnlab import nn
from cnnlab.analysis.fields import Field, fields

# Largest entry, relative to the largest of all, that float32 leaves where exact sums give zero:
# a Fourier transform of a hundred numbers rounds a few times, each by 6e-8.
ROUNDING = 1e-5


CONVOLUTION, LOCAL, FFT = "convolution 3x3", "locally connected 3x3", "convolution 3x3 by FFT"


IN_PLACE = Field("", (1, 1), (1, 1), (0, 0))  # outputs lie where inputs do


class Layer(NamedTuple):
    """A layer `(h, w, c) -> (h', w', c)`: the radius that its kernel says it has, `None` where it
    has none smaller than the image; `module`, with a window of its own; `inputs`, at how many its
    Jacobian must be taken; `full`, whether an output depends on all of its patch, with no holes."""

    apply: Callable[[Array], Array]
    expected: float | None
    module: Any = None
    inputs: int = 1
    full: bool = True


def make_layers(shape: tuple[int, ...], kernels: Sequence[int], seed: int) -> dict[str, Layer]:
    """Every kind of layer, on images of a shape, with random weights."""
    *spatial, c = shape
    size, key = spatial[0], jr.key(seed)
    batched = lambda module: lambda x: module(x[None])[0]
    of = lambda module, *more, **options: Layer(batched(module), *more, module, **options)
    conv = functools.partial(nn.Conv2d, c, c, algorithm="lax", key=key)
    dense = nn.FullyConnected2d(c, c, spatial, kernel_init="lecun_normal", key=key)
    found = {
        "dense": Layer(dense, None),
        "group norm": Layer(batched(nn.GroupNorm(c, 1)), None),
        "layer norm": Layer(nn.LayerNorm(c), 0),
    }
    for s in kernels:
        local = nn.LocallyConnected2d(c, c, s, spatial, key=key)
        found[f"convolution {s}x{s}"] = of(conv(s), (s - 1) / 2)
        found[f"locally connected {s}x{s}"] = of(local, (s - 1) / 2)
    for d in (2, 3):
        found[f"convolution 3x3, dilation {d}"] = of(conv(3, dilation=d), d, full=False)
    lax = {"algorithm": "lax", "key": key}
    return {
        **found,
        "depthwise 3x3": of(nn.DepthwiseConv2d(c, 3, **lax), 1),
        "separable 3x3": of(nn.SeparableConv2d(c, c, 3, **lax), 1),
        FFT: of(conv(3, algorithm="fft"), 1),
        f"long convolution {size}x{size}": of(nn.LongConv2d(c, c, spatial, key=key), size // 2),
        "max-pooling 2x2": of(nn.MaxPool2d(2), 0.5, inputs=64),
        "average pooling 2x2": of(nn.AvgPool2d(2), 0.5),
        "average pooling 3x3, stride 1": of(nn.AvgPool2d(3, 1, "SAME"), 1),
    }


def reach(layer: Layer, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    """A layer's radius (A 2.3): the largest distance at which an output depends on an input; how
    its support differs from the patch, its profile by distance, a picture of it."""
    strengths = strength(layer.apply, random_inputs(shape, layer.inputs, seed))
    strengths /= strengths.max()
    support = strengths > ROUNDING
    out, spatial = strengths.shape[:2], strengths.shape[2:]
    place = IN_PLACE if layer.module is None else fields(layer.module, shape)[-1]
    apart = distances(out, spatial, place)
    radius = float(apart[support].max(initial=0))
    patch = apart <= (radius if layer.expected is None else layer.expected)
    middle = tuple(n // 2 for n in out)
    return {
        "expected": layer.expected, "radius": radius, "full": layer.full,
        "farthest": float(apart.max()), "share": float(support.mean()),
        "unlike_patch": int((support != patch).sum()), "compared": patch.size,
        "outside": float(strengths[~patch].max(initial=0)),
        "profile": [(float(d), float(strengths[apart == d].max())) for d in np.unique(apart)],
        "picture": (strengths[middle] / strengths[middle].max()).tolist(),
    }  # fmt: skip


def strength(layer: Callable[[Array], Array], xs: Sequence[Array]) -> np.ndarray:
    """`(*out, *spatial)`: the largest `|d y[o, m] / d x[i, c]|` over channels and over inputs,
    `(*spatial, c)` each: one is enough for a linear layer; a maximum needs as many as make each of
    its entries win once."""
    jacobian = jax.jit(jax.jacfwd(layer))
    largest = functools.reduce(np.maximum, (np.abs(jacobian(x)) for x in xs))
    return largest.max((-1 - xs[0].ndim, -1))


def distances(out: Sequence[int], spatial: Sequence[int], field: Field) -> np.ndarray:
    """`(*out, *spatial)`: the Chebyshev distance `max_a |centre_a + stride_a o_a - i_a|` (A 2.1) of
    input position `i` from where output position `o` lies in the input."""
    *o, i, j = np.indices((*out, *spatial), sparse=True)
    along = zip(o, (i, j), field.stride, field.centre, strict=True)
    return functools.reduce(np.maximum, [abs(c + s * a - b) for a, b, s, c in along])


def random_inputs(shape: tuple[int, ...], n: int, seed: int) -> list[Array]:
    """`n` normal inputs of a shape, the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(n)]


def pooling_entries(shape: tuple[int, ...], seed: int) -> dict[str, int]:
    """Entries of the 2x2 max-pooling's dependence, channels apart, that are not those of A 4.5, and
    how many were compared."""
    jacobian = jax.jit(jax.jacfwd(lambda x: nn.MaxPool2d(2)(x[None])[0]))
    depends = np.any([jacobian(x) for x in random_inputs(shape, 64, seed)], 0)
    i, j, c, p, q, d = np.indices(depends.shape, sparse=True)
    # Counted from 0; the chapter counts from 1: p in {2i - 1, 2i}, q in {2j - 1, 2j}.
    printed = (p // 2 == i) & (q // 2 == j) & (c == d)
    return {"unlike": int((depends != printed).sum()), "compared": depends.size}


def unlike_outputs(layer: Layer, shape: tuple[int, ...]) -> float:
    """How far the outputs of pixels with equal 3x3 patches differ, relative to the largest output:
    in a constant image, all whose patch lies inside it."""
    y = np.asarray(layer.apply(jnp.ones(shape)))[1:-1, 1:-1]
    return float(np.ptp(y, axis=(0, 1)).max() / np.abs(y).max())
