"""Parameters and multiply-adds of a layer, counted without computing or allocating anything."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from cnnlab.analysis.summary import count_parameters


def weights_and_biases(make: Callable[..., Any]) -> tuple[int, int]:
    """How many weights and how many biases a layer has.

    The layer is made abstractly, so one of 10^13 weights costs nothing.

    **Arguments:** `make(use_bias=..., key=...)`, the layer.
    """
    abstract = lambda use_bias: eqx.filter_eval_shape(make, use_bias=use_bias, key=jr.key(0))
    weights = count_parameters(abstract(False))
    return weights, count_parameters(abstract(True)) - weights


def xla_multiply_adds(
    make: Callable[..., Any], apply: Callable[[Any, Array], Array], in_shape: Sequence[int]
) -> float:
    """Multiply-adds of one example `in_shape`, `(*spatial, c)`: half of the floating-point
    operations that XLA's cost analysis finds in the compiled program.

    A product without a sum, as of a depthwise 1x1 kernel, is half a multiply-add. XLA leaves out
    a convolution's products with padding, and knows nothing of compiled code outside of it
    (`native`): a layer counted so must compute by `lax`.

    **Arguments:** `make(use_bias=..., key=...)`, the layer; `apply(layer, x)`, its output.
    """
    layer = eqx.filter_eval_shape(make, use_bias=False, key=jr.key(0))
    arrays, static = eqx.partition(layer, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    run = jax.jit(lambda arrays, x: apply(eqx.combine(arrays, static), x))
    x = jax.ShapeDtypeStruct((1, *in_shape), jnp.float32)
    return run.lower(arrays, x).compile().cost_analysis()["flops"] / 2


def taps_inside(n: int, s: int) -> int:
    """Pairs (output, tap) along an axis of `n` that read the image, not the zeros around it.

    Kernel size `s = 2k + 1` no larger than `n`, stride 1, padding SAME: of `n s` pairs, the
    `k - i` first taps of output `i < k` lie outside, and as many at the other end.
    """
    k = (s - 1) // 2
    return n * s - k * (k + 1)
