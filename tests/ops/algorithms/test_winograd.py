"""Minimal filtering."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from algorithm_checks import are_exact
from primitive_cases import PLAIN, changed, needs_engine, predicted

from cnnlab import ops
from cnnlab.ops import describe
from cnnlab.ops.algorithms import winograd
from cnnlab.ops.algorithms.native import NATIVE
from cnnlab.ops.algorithms.native_winograd import NATIVE_WINOGRAD
from cnnlab.ops.algorithms.winograd import WINOGRAD, WINOGRAD_F2
from cnnlab.ops.native import ENGINE, Code, Implementation


@pytest.mark.parametrize("m", [2, 4])
def test_transforms_are_the_filter(m):
    """Lavin and Gray's equation 5, and its transpose in the kernel, on arbitrary numbers."""
    b, g, a = winograd._TRANSFORMS[m]
    assert b.shape == (m + 2, m + 2) and g.shape == (m + 2, 3) and a.shape == (m, m + 2)
    rng = np.random.default_rng(m)
    kernel, window, dy = rng.standard_normal(3), rng.standard_normal(m + 2), rng.standard_normal(m)
    y = a @ ((g @ kernel) * (b @ window))
    direct = [sum(kernel[t] * window[i + t] for t in range(3)) for i in range(m)]
    np.testing.assert_allclose(y, direct, rtol=1e-12, atol=1e-12)
    gradient = g.T @ ((b @ window) * (a.T @ dy))
    direct = [sum(dy[i] * window[i + t] for i in range(m)) for t in range(3)]
    np.testing.assert_allclose(gradient, direct, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("m", [2, 4])
def test_transforms_come_from_the_points(m):
    """As the module derives them, but for a factor of each row that two of them share."""
    points = [0, 1, -1, 2, -2][: m + 1]
    powers = lambda n: np.array([[p**j for j in range(n)] for p in points] + [[0] * (n - 1) + [1]])
    of = powers(m), powers(3), np.linalg.inv(powers(m + 2)).T
    b, g, a = winograd._TRANSFORMS[m]
    term = lambda a, g, b: np.einsum("i,t,j->itj", a, g, b)
    for row in range(m + 2):
        derived = term(*(matrix[row] for matrix in of))
        np.testing.assert_allclose(term(a[:, row], g[row], b[row]), derived, atol=1e-12)


@pytest.mark.parametrize("algorithm", [WINOGRAD, WINOGRAD_F2], ids=lambda a: a.name)
def test_where_tiles_do_not_fit(algorithm):
    """Every remainder of the tile, and padding that the input gradient can only crop."""
    pads = [(1, 1), (0, 2), (2, 0), (5, 3), (0, 6), (4, 0)]
    lines = [((2, n, 2), (3, 2, 3), (pad,)) for n in range(1, 8) for pad in pads[n % 3 :: 3]]
    lines = [line for line in lines if line[0][1] + sum(line[2][0]) >= 3]
    planes = [((2, n, 8 - n, 2), (3, 3, 2, 3), ((1, 1), pads[n % 6])) for n in range(1, 8)]
    planes = [p for p in planes if p[0][2] + sum(p[2][1]) >= 3]
    assert len(lines) + len(planes) > 15
    are_exact(algorithm.name, [describe(x, k, padding=pad) for x, k, pad in lines + planes])


def test_a_prime_batch_larger_than_the_cache():
    are_exact(WINOGRAD.name, [describe((7, 48, 48, 32), (3, 3, 32, 32))], limit=1e-4)


@pytest.mark.parametrize(
    ("algorithm", "products", "extra"),
    [
        # F(4, 3): 2 x 2 tiles of 6 x 6 positions; transformed input and output, and the kernel.
        (WINOGRAD, 2 * 4 * 36 * 4 * 6, 2 * 2 * (4 * 36 * 6) * 4 + 36 * 4 * 6 * 4),
        # F(2, 3): 4 x 4 tiles of 4 x 4 positions.
        (WINOGRAD_F2, 2 * 16 * 16 * 4 * 6, 2 * 2 * (16 * 16 * 6) * 4 + 16 * 4 * 6 * 4),
    ],
    ids=["F4", "F2"],
)
def test_costs(algorithm, products, extra):
    assert algorithm.multiply_adds(PLAIN) == products
    assert algorithm.extra_memory(PLAIN) == extra


@pytest.mark.parametrize("algorithm", [WINOGRAD, WINOGRAD_F2], ids=lambda a: a.name)
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kernel_size": (3, 3, 3)}, "it has 3 spatial axes, not 1 or 2"),
        ({"kernel_size": (3, 5)}, "the kernel size is (3, 5), not 3 along every axis"),
        ({"stride": (1, 2)}, "it has stride (1, 2) and dilation (1, 1), not 1"),
        ({"dilation": (2, 2)}, "it has stride (1, 1) and dilation (2, 2), not 1"),
        ({"groups": 2}, "it has 2 groups, not 1"),
        ({"dtype": np.dtype(np.int32)}, "its fractions need floating-point numbers, not int32"),
    ],
)
def test_refusals(algorithm, changes, says):
    assert algorithm.refusal(changed(PLAIN, **changes)) == says


def test_a_refusal_is_one_line():
    x, kernel = jnp.ones((1, 5, 2)), jnp.ones((3, 2, 2))
    line = "algorithm: 'winograd' cannot serve this convolution: it has stride (2,) and dilation"
    with pytest.raises(ValueError, match=re.escape(line)):
        ops.conv(x, kernel, stride=2, algorithm=WINOGRAD.name)
    assert WINOGRAD.name not in ops.algorithms(x.shape, kernel.shape, stride=2)
    assert WINOGRAD.name in ops.algorithms(x.shape, kernel.shape)


def test_is_preferred_where_neither_channels_nor_maps_are_few():
    assert predicted(describe((64, 16, 16, 128), (3, 3, 128, 128))) == [WINOGRAD.name] * 3
    for few in (
        describe((64, 16, 16, 16), (3, 3, 16, 16)),
        describe((1, 8, 8, 64), (3, 3, 64, 64)),
    ):
        assert WINOGRAD.name not in predicted(few)


@needs_engine
@pytest.mark.parametrize(
    ("code", "expected"),
    [(Code.COMPILED, NATIVE), (Code.NONE, NATIVE_WINOGRAD)],
)
def test_gives_way_to_products_of_16_bits(code, expected, monkeypatch):
    """It computes in float32."""
    monkeypatch.setattr(ENGINE, "implementation", lambda *_: Implementation("", code))
    monkeypatch.setattr(ENGINE, "wide", lambda: True)
    problem = describe((64, 16, 16, 128), (3, 3, 128, 128), dtype=jnp.bfloat16)
    assert predicted(problem, engine=True) == [expected.name] * 3


@needs_engine
def test_compiled_it_is_preferred_to_compiled_sums():
    wide = describe((64, 16, 16, 32), (3, 3, 32, 128))
    assert predicted(wide, engine=True) == [NATIVE_WINOGRAD.name] * 3
