"""The engine reads arrays as other people's programs have them: channels first, outputs first."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from primitive_cases import arrays, compiled, needs_engine

from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REGISTRY, describe


@needs_engine
@pytest.mark.parametrize(
    ("x", "kernel", "dilation", "padding"),
    [
        ((2, 900, 5), (3, 5, 20), 7, [(9, 3)]),
        ((3, 64, 32), (1, 32, 7), 1, "VALID"),
        ((2, 130, 9), (2, 9, 1), 64, "CAUSAL"),
    ],
)
def test_channels_first_beside_the_float64_loop(x, kernel, dilation, padding):
    problem = describe(x, kernel, dilation=dilation, padding=padding)
    maps = [REGISTRY["native"].channels_first(problem, which) for which in PASSES]
    x, kernel, dy = arrays(problem)
    turn = functools.partial(np.swapaxes, axis1=1, axis2=2)
    operands = (turn(x), kernel), (turn(dy), kernel), (turn(x), turn(dy))
    run = compiled(lambda pairs: [m(*p, problem) for m, p in zip(maps, pairs, strict=True)])
    y, dx, dkernel = run([tuple(v.astype(np.float32) for v in pair) for pair in operands])
    found = turn(y), turn(dx), dkernel
    for got, expected in zip(found, convolution(x, kernel, dy, problem), strict=True):
        assert relative_error(np.asarray(got, np.float64), expected) <= 4e-6


@needs_engine
@pytest.mark.parametrize(
    ("kernel", "changes"),
    [
        ((3, 4, 4), {"stride": 2}),
        ((3, 2, 4), {"groups": 2}),
        ((3, 4, 4), {"dtype": jnp.bfloat16}),
        ((3, 4, 800), {}),
        ((3, 3, 4, 4), {}),
    ],
)
def test_what_has_no_code_for_channels_first(kernel, changes):
    problem = describe((2, *(9,) * (len(kernel) - 2), 4), kernel, **changes)
    assert not any(REGISTRY["native"].channels_first(problem, which) for which in PASSES)
