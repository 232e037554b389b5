"""The layers of chapter A, their formulas, and their counts."""

import functools
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from cnnlab import nn, ops
from cnnlab.analysis import count_parameters


@dataclass(frozen=True)
class Case:
    """A layer that maps `(h, w, c)` to `(h, w, c_out)` with kernel size `s`; stride 1."""

    kind: str
    h: int
    w: int
    c: int
    c_out: int
    s: int
    groups: int = 1


# Weights as the chapter counts them, biases apart.
FORMULAS: dict[str, Callable[[Case], int]] = {
    "dense": lambda q: (q.h * q.w) ** 2 * q.c * q.c_out,  # A 1.3
    "locally connected": lambda q: q.h * q.w * q.s**2 * q.c * q.c_out,  # A 2.4
    "convolution": lambda q: q.s**2 * q.c * q.c_out,  # A 3.2
    "1x1": lambda q: q.c * q.c_out,  # A 5.1
    "depthwise": lambda q: q.s**2 * q.c,  # A 5.2
    "grouped": lambda q: q.s**2 * (q.c // q.groups) * q.c_out,  # A 5.2
    "separable": lambda q: q.s**2 * q.c + q.c * q.c_out,  # A 5.3
}


def abstract(q: Case, padding: str = "SAME", *, use_bias: bool = False) -> Any:
    """The module of `cnnlab.nn`, computed by `lax`, without its numbers: one of 10^13 weights costs
    nothing."""
    window, lax = {"kernel_size": q.s, "padding": padding}, {"algorithm": "lax"}
    image = {"spatial_shape": (q.h, q.w)}
    layer, arguments = {
        "dense": (nn.FullyConnected2d, image | {"max_weights": sys.maxsize}),
        "locally connected": (nn.LocallyConnected2d, image | window),
        "convolution": (nn.Conv2d, window | lax),
        "1x1": (nn.Conv2d, window | lax | {"kernel_size": 1}),
        "depthwise": (nn.DepthwiseConv2d, window | lax),
        "grouped": (nn.GroupedConv2d, window | lax | {"groups": q.groups}),
        "separable": (nn.SeparableConv2d, window | lax),
    }[q.kind]
    channels = (q.c, q.c_out)[: 1 if q.kind == "depthwise" else 2]
    make = functools.partial(layer, *channels, **arguments)
    return eqx.filter_eval_shape(make, use_bias=use_bias, key=jr.key(0))


def counts_of(q: Case) -> dict[str, Any]:
    """The case, its formula, and how many weights and biases the module has."""
    weights = count_parameters(abstract(q))
    biases = count_parameters(abstract(q, use_bias=True)) - weights
    return {**asdict(q), "formula": FORMULAS[q.kind](q), "weights": weights, "biases": biases}


def costs_of(q: Case) -> list[dict[str, Any]]:
    """By padding: multiply-adds by formula, and by XLA's cost analysis."""
    # A locally connected layer without padding has fewer positions, so fewer weights.
    paddings = ("SAME",) if q.kind in ("dense", "locally connected") else ("SAME", "VALID")
    return [{"padding": p, "formula": by_hand(q, p), "xla": by_xla(q, p)} for p in paddings]


def by_xla(q: Case, padding: str) -> float:
    """Multiply-adds of one image: half of the floating-point operations that XLA's cost analysis
    finds in the compiled program.

    A product without a sum, as of a depthwise 1x1 kernel, is half a multiply-add. XLA leaves out a
    convolution's products with padding, and knows nothing of compiled code outside of it.
    """

    def run(arrays: Any, x: Array) -> Array:
        layer = eqx.combine(arrays, static)
        if q.kind == "separable":  # its 1x1 part takes no algorithm
            return ops.conv(layer.depthwise(x), layer.pointwise.weight, algorithm="lax")
        return layer(x)

    layer = abstract(q, padding)
    arrays, static = eqx.partition(layer, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    x = jax.ShapeDtypeStruct((1, q.h, q.w, q.c), jnp.float32)
    return jax.jit(run).lower(arrays, x).compile().cost_analysis()["flops"] / 2


def by_hand(q: Case, padding: str) -> int:
    """What the layer should cost: each weight once for every place where it is used.

    With padding SAME a product with a zero that is not in the image is no place.
    """
    formula = FORMULAS[q.kind]
    if q.kind in ("dense", "locally connected"):
        return formula(q)
    same, sides = padding == "SAME", (q.h, q.w)
    pixels = math.prod(n if same else n - q.s + 1 for n in sides)
    taps = math.prod(taps_inside(n, q.s) for n in sides) if same else pixels * q.s**2
    # Weights are a s^2 + b: `a` of them at each tap of a window, and `b` at the pixel itself.
    b = formula(replace(q, s=0))
    return taps * (formula(replace(q, s=1)) - b) + pixels * b


def taps_inside(n: int, s: int) -> int:
    """Pairs (output, tap) along an axis of `n` that read the image, not the zeros around it.

    Kernel size `s = 2k + 1` no larger than `n`, stride 1, padding SAME: of `n s` pairs, the
    `k - i` first taps of output `i < k` lie outside, and as many at the other end.
    """
    k = (s - 1) // 2
    return n * s - k * (k + 1)
