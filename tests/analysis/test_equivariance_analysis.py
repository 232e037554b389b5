"""Errors of equivariance against hand counts."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import ops
from cnnlab.analysis.equivariance import (
    equivariance_errors,
    interior,
    invariance_error,
    relative_change,
    translate,
)

X = jnp.arange(1.0, 7.0).reshape(1, 6, 1)


def test_translate_is_a_torus():
    assert translate(X, (2,))[0, :, 0].tolist() == [5, 6, 1, 2, 3, 4]
    two = jnp.arange(6.0).reshape(1, 2, 3, 1)
    assert translate(two, (1, -1))[0, ..., 0].tolist() == [[4, 5, 3], [1, 2, 0]]


def test_interior_by_a_loop():
    found = interior((7, 6), (2, -1), 1)
    for i in range(7):
        for j in range(6):
            rows, columns = all(1 <= p < 6 for p in (i, i - 2)), all(1 <= p < 5 for p in (j, j + 1))
            assert found[i, j] == (rows and columns)
    assert not interior((4,), (3,), 1).any()


def test_a_position_dependent_layer():
    """f(x)[i] = i x[i]: f(T x) - T f(x) is x[i - 1] where nothing wraps, 5 x[5] where it does."""
    layer = lambda x: x * jnp.arange(6.0)[:, None]
    errors = equivariance_errors(layer, X, (1,))
    np.testing.assert_allclose(errors.at * 30, [30, 1, 2, 3, 4, 5], rtol=1e-6)
    assert (errors.whole, errors.interior) == (1, pytest.approx(5 / 30))


def test_zero_padding_breaks_it_at_the_border_only():
    kernel = jnp.array([1.0, 2.0, 4.0]).reshape(3, 1, 1)
    layer = lambda x: ops.conv(x, kernel, algorithm=ops.REFERENCE)
    errors = equivariance_errors(layer, X, (2,), margin=1)
    assert errors.interior == 0
    # f(x) = 10 17 24 31 38 17, moved by two 38 17 10 17 24 31; f(T x) = 34 21 16 17 24 11.
    np.testing.assert_allclose(errors.at * 38, [4, 4, 6, 0, 0, 20], rtol=1e-6)
    assert errors.whole == pytest.approx(20 / 38)


def test_a_stride_takes_multiples():
    layer = lambda x: x[:, ::2]
    assert equivariance_errors(layer, X, (2,), stride=2).whole == 0
    assert equivariance_errors(layer, X, (-4,), stride=2).whole == 0
    # Moved by one the outputs are x6, x2, x4; the nearest shifts of x1, x3, x5 differ by up to 5
    # (not moved) and by 1 (moved by one).
    odd = equivariance_errors(layer, X, (1,), stride=2)
    assert odd.whole == pytest.approx(1 / 5)
    assert np.isnan(equivariance_errors(layer, X, (2,), stride=2, margin=2).interior)


def test_invariance():
    total = lambda x: x.sum(1)
    assert invariance_error(total, X, (3,)) == 0
    assert invariance_error(lambda x: x[:, 0], X, (1,)) == 5
    change = relative_change(lambda x: x, jnp.concatenate([X, 2 * X, 0 * X]), (1,))
    expected = np.sqrt(5 + 25) / np.sqrt(91)
    np.testing.assert_allclose(change, [expected, expected, 0], rtol=1e-6)
