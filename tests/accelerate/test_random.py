"""Random convolutions of every parameter at once, values and both gradients, against float64.

`CNNLAB_CONVOLUTIONS=1000 make test ARGS=tests/accelerate/test_random.py` tries more of them.
"""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from direct_sum import direct_sum
from jax import lax

from cnnlab.accelerate import accelerated
from cnnlab.ops.algorithms.native import NATIVE
from cnnlab.ops.choice import VARIABLE

NUMBER = int(os.environ.get("CNNLAB_CONVOLUTIONS", 24))


def draw(seed):
    """A convolution; the types of both operands and of its result; the parameters."""
    rng = np.random.default_rng(seed + 5678)
    pick = lambda *of: of[rng.integers(len(of))]
    rank = pick(1, 2, 2, 2, 3)
    numbers = lambda low, high: tuple(int(v) for v in rng.integers(low, high + 1, rank))
    often = lambda value, other: tuple(o if rng.random() < 0.4 else value for o in other)
    groups, batches = pick((1, 1), (1, 1), (2, 1), (1, 3), (4, 1))
    n, c, o = batches * pick(1, 2, 3), groups * pick(1, 2, 4, 8), groups * batches * pick(1, 2, 4)
    taps, size = numbers(1, 4), numbers(3, 9)
    stride, spread, dilation = (often(1, numbers(1, 3)) for _ in range(3))
    padding = tuple((pick(0, 1, 2, -1, 3, -2), pick(0, 1, 2, -1, 4)) for _ in range(rank))
    # A layout that somebody uses, or any.
    orders = lambda common: tuple(
        int(v) for v in (rng.permutation(rank + 2) if rng.random() < 0.4 else common)
    )
    first, last = range(rank + 2), (0, rank + 1, *range(1, rank + 1))
    names = lax.ConvDimensionNumbers(
        orders(pick(first, last)),
        orders(pick(first, (rank + 1, rank, *range(rank)))),
        orders(pick(first, last)),
    )
    place = lambda spec, *sizes: tuple(s for _, s in sorted(zip(spec, sizes, strict=True)))
    ordinary = [("float32", None)] * 5
    dtype, wide = pick(*ordinary, ("bfloat16", "float32"), ("bfloat16", None), ("float16", None))
    parameters = {
        "window_strides": stride,
        "padding": padding,
        "lhs_dilation": spread,
        "rhs_dilation": dilation,
        "dimension_numbers": names,
        "feature_group_count": groups,
        "batch_group_count": batches,
        "precision": pick(None, None, lax.Precision.HIGHEST),
        "preferred_element_type": wide and jnp.dtype(wide),
    }
    shapes = place(names[0], n, c, *size), place(names[1], o, c // groups, *taps)
    lhs, rhs = (jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)
    conv = functools.partial(lax.conv_general_dilated, **parameters)
    y = jax.eval_shape(conv, lhs, rhs)
    # What is empty, or touches nothing, tells nothing.
    return (conv, lhs, rhs, y, parameters) if y.size else draw(seed + 1_000_000)


# In 196 XLA alone reads what is not the input's (jaxlib 0.10.1).
@pytest.mark.parametrize("seed", {*range(NUMBER), 196})
def test_values_and_gradients_are_those_of_the_sum(seed, monkeypatch):
    if seed % 2:  # else shapes as small as these are often left to XLA
        monkeypatch.setenv(VARIABLE, NATIVE.name)
    conv, *types, parameters = draw(seed)
    rng = np.random.default_rng(seed)
    lhs, rhs, dy = (jnp.asarray(rng.standard_normal(t.shape), t.dtype) for t in types)

    @jax.jit
    def run(lhs, rhs, dy):
        y, transpose = jax.vjp(conv, lhs, rhs)
        return y, *transpose(dy)

    with accelerated():
        got = run(lhs, rhs, dy)
    expected = direct_sum(lhs, rhs, **parameters), *direct_sum(lhs, rhs, dy, **parameters)
    for name, a, b, like in zip(("y", "dlhs", "drhs"), got, expected, (dy, lhs, rhs), strict=True):
        assert a.dtype == like.dtype and a.shape == b.shape
        step = float(jnp.finfo(a.dtype).eps)
        # Sums of 16-bit floats are of float32, and rounded at most twice.
        rounding = 2e-5 if step < 1e-5 else 2 * step
        error = np.abs(np.asarray(a, np.float64) - b).max()
        assert error <= rounding * max(np.abs(b).max(), 1e-30), name
