"""Filters against plain loops, and test images by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

from cnnlab.analysis import filters


def image(rng, *shape):
    return rng.integers(0, 256, shape).astype(np.float32)


@pytest.mark.parametrize("name", filters.GREY)
def test_the_activation_map_is_a_correlation(name):
    x = image(np.random.default_rng(0), 7, 6, 1)
    kernel = filters.grey(filters.GREY[name])
    expected = correlate2d(x[..., 0], filters.GREY[name], "valid")
    assert np.array_equal(filters.activation_map(jnp.asarray(x), kernel), expected)
    flipped = filters.activation_map(jnp.asarray(x), kernel, flip=True)
    assert np.array_equal(flipped, convolve2d(x[..., 0], filters.GREY[name], "valid"))


def test_the_red_kernel_reads_red():
    x = image(np.random.default_rng(1), 5, 5, 3)
    z = filters.activation_map(jnp.asarray(x), filters.red(filters.VERTICAL))
    assert np.array_equal(z, correlate2d(x[..., 0], filters.VERTICAL, "valid"))


def test_local_range():
    x = image(np.random.default_rng(2), 6, 5, 2)
    got = filters.local_range(jnp.asarray(x))
    for i in range(4):
        for j in range(3):
            window = x[i : i + 3, j : j + 3]
            assert got[i, j] == max(np.ptp(window[..., c]) for c in range(2))


def test_images():
    assert filters.edge(0.0, 3).tolist() == [[1, 0.5, 0]] * 3
    assert np.allclose(filters.edge(90.0, 3), [[1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]])
    assert np.allclose(filters.edge(180.0, 4, 3.0, 1.0), [[1, 1, 3, 3]] * 4)
    assert filters.line(0.0, 3).tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert filters.line(90.0, 3).tolist() == [[0, 1, 0]] * 3
    assert filters.line(45.0, 3).tolist() == np.eye(3)[::-1].tolist()
    assert filters.ramp(2.0, 1.0, 3).tolist() == [[-3, -2, -1], [-1, 0, 1], [1, 2, 3]]


def test_the_index_of_the_chapter():
    rng = np.random.default_rng(3)
    x, weights = rng.standard_normal((5, 6, 2)), rng.standard_normal((3, 3, 4, 2))
    got = filters.indexed_sum(x, weights, 2, 3, printed=False)
    expected = np.einsum("abzd,abd->z", weights, x[0:3, 1:4])
    assert np.allclose(got, expected)
    # At the corner a row and a column of zeros.
    corner = filters.indexed_sum(x, weights, 1, 1, printed=True)
    assert np.allclose(corner, np.einsum("abzd,abd->z", weights[1:, 1:], x[:2, :2]))
    with pytest.raises(ValueError, match=r"^m: expected 1 to 3, got 4"):
        filters.indexed_sum(x, weights, 4, 1, printed=True)
