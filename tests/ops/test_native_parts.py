"""Convolutions that the engine cuts for XLA's threads: by examples, rows or channels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_checks import check_engine
from primitive_cases import arrays, compiled, needs_engine

from cnnlab import ops
from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REGISTRY, describe

# Each has so much to compute (2^18 multiply-adds) that it is not its caller's alone.
CASES = {
    "examples, the last part with one more": ((3, 11, 9, 16), (3, 3, 16, 40), {"padding": 1}),
    "rows": ((1, 21, 9, 24), (3, 3, 24, 40), {"padding": 1}),
    "rows, every third of them": (
        (1, 47, 20, 24),
        (5, 3, 24, 40),
        {"padding": ((1, 4), (2, 0)), "stride": (3, 2)},
    ),
    "rows that some windows skip": ((1, 33, 33, 24), (1, 1, 24, 70), {"stride": 2}),
    "rows, dilated": ((1, 33, 20, 24), (3, 3, 24, 24), {"padding": 4, "dilation": (4, 1)}),
    "rows of depthwise": ((1, 60, 40, 32), (3, 3, 1, 32), {"padding": 1, "groups": 32}),
    "depth": ((1, 9, 10, 8, 16), (3, 3, 3, 16, 24), {"padding": 1}),
    "steps": ((1, 700, 32), (5, 32, 24), {"padding": ((4, 0),)}),
    "fewer rows than their padding": ((1, 2, 40, 96), (7, 3, 96, 32), {"padding": 5}),
    "channels of a large kernel": ((1, 5, 7, 130), (3, 3, 130, 150), {"padding": 1}),
    "channels, of several examples": ((3, 4, 5, 64), (3, 3, 64, 264), {"stride": 2, "padding": 1}),
    "channels, steps": ((2, 40, 96), (9, 96, 200), {"padding": ((8, 0),)}),
    "a wide sum": ((2, 24, 24, 32), (3, 3, 32, 32), {"padding": 1}),
}


@needs_engine
@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_parts_beside_the_float64_loop(case, dtype):
    x, kernel, geometry = CASES[case]
    problem = describe(x, kernel, **geometry, dtype=dtype)
    check_engine(REGISTRY["native"], problem, 2e-6 if dtype == np.float32 else 4e-3)


@needs_engine
@pytest.mark.parametrize("case", ["rows", "channels of a large kernel"])
def test_each_part_has_its_bias(case):
    x, kernel, geometry = CASES[case]
    problem = describe(x, kernel, **geometry)
    x, kernel, dy = arrays(problem)
    bias = jnp.arange(problem.out_channels, dtype=np.float32)
    call = functools.partial(ops.conv, padding=problem.padding, algorithm="native")
    with_bias = jax.jit(lambda *v: call(v[0], v[1], bias=v[2], activation="relu"))
    expected = np.maximum(convolution(x, kernel, dy, problem)[0] + np.asarray(bias), 0)
    assert relative_error(with_bias(x, kernel, bias), expected) <= 2e-6


@needs_engine
def test_what_is_computed_again_has_the_same_bits():
    """Which thread computes a part is not said; what is added up, and in which order, is."""
    problem = describe((4, 24, 24, 32), (3, 3, 32, 32), padding=1)
    x, kernel, dy = arrays(problem)
    native = REGISTRY["native"]
    run = compiled(lambda *v: [native.compute(w, *p, problem) for w, p in _pairs(*v)])
    first = jax.device_get(run(x, kernel, dy))
    for _ in range(20):
        for a, b in zip(first, run(x, kernel, dy), strict=True):
            np.testing.assert_array_equal(a, b)


def _pairs(x, kernel, dy):
    return zip(PASSES, ((x, kernel), (dy, kernel), (x, dy)), strict=True)
