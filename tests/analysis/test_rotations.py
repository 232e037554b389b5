"""Random orthogonal matrices, and what they do to inputs and first layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from cnnlab.analysis import rotations
from cnnlab.ops import toeplitz_matrix


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("determinant", [None, 1, -1])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_matrices_are_orthogonal_with_the_determinant_asked_for(rng, d, determinant):
    r = rotations.random_orthogonal(rng, 50, d, determinant=determinant)
    np.testing.assert_allclose(r @ np.swapaxes(r, 1, 2), np.broadcast_to(np.eye(d), r.shape),
                               atol=1e-12)  # fmt: skip
    signs = set(np.linalg.det(r).round())
    assert signs == ({1.0, -1.0} if determinant is None else {determinant})


def test_a_determinant_is_one_or_minus_one(rng):
    with pytest.raises(ValueError, match="determinant: expected 1, -1 or None, got 2"):
        rotations.random_orthogonal(rng, 1, 3, determinant=2)


@pytest.mark.parametrize("determinant", [None, 1, -1])
def test_angles_of_the_plane_are_uniform(rng, determinant):
    """Haar's measure on O(2): the first column points anywhere with the same probability."""
    r = rotations.random_orthogonal(rng, 2000, 2, determinant=determinant)
    angle = np.arctan2(r[:, 1, 0], r[:, 0, 0])
    assert kstest(angle, "uniform", (-np.pi, 2 * np.pi)).pvalue > 0.01


def test_haar_measure_has_its_moments(rng):
    """`tr R` has mean 0 and variance 1 on O(d) (Diaconis and Mallows); without the sign fix its
    mean is not 0."""
    trace = np.trace(rotations.random_orthogonal(rng, 4000, 4), axis1=1, axis2=2)
    assert abs(trace.mean()) < 4 / np.sqrt(4000) and abs(trace.var() - 1) < 0.1


def test_block_diagonal_leaves_the_signature_alone(rng):
    r = rotations.block_diagonal(rng, 8, 5, 2)
    q = np.diag([1.0, 1, -1, -1, -1])
    np.testing.assert_allclose(np.swapaxes(r, 1, 2) @ q @ r, np.broadcast_to(q, r.shape),
                               atol=1e-12)  # fmt: skip
    assert (rotations.frobenius(r, np.broadcast_to(np.eye(5), r.shape)) > 0.1).all()


def test_moves_stay_orthogonal_and_have_their_length(rng):
    start = rotations.random_orthogonal(rng, 6, 4)
    skew = rotations.random_skew(rng, 6, 4)
    np.testing.assert_array_equal(skew, -np.swapaxes(skew, 1, 2))
    end = rotations.move(start, 1e-4 * skew)
    np.testing.assert_allclose(end @ np.swapaxes(end, 1, 2), np.broadcast_to(np.eye(4), end.shape),
                               atol=1e-12)  # fmt: skip
    length = np.linalg.norm(1e-4 * skew, axis=(1, 2))
    np.testing.assert_allclose(rotations.frobenius(start, end), length, rtol=1e-6)


def test_a_plane_turns_by_its_angle():
    end = rotations.move(np.eye(3)[None], 0.3 * rotations.plane_skew(1, 3, 0, 2))[0]
    c, s = np.cos(0.3), np.sin(0.3)
    np.testing.assert_allclose(end, [[c, 0, -s], [0, 1, 0], [s, 0, c]], atol=1e-12)


def test_directions_without_the_diagonal_blocks(rng):
    skew = rotations.random_skew(rng, 3, 5, p=2, within=0.0)
    assert not skew[:, :2, :2].any() and not skew[:, 2:, 2:].any()
    assert (skew[:, :2, 2:] != 0).all()


def test_rotating_a_batch_is_rotating_each_example(rng):
    r = rotations.random_orthogonal(rng, 1, 6)[0]
    x = rng.standard_normal((4, 3, 2)).astype(np.float32)
    got = rotations.rotate(x, r)
    assert got.shape == x.shape and got.dtype == np.float64
    for example, wanted in zip(got, x, strict=True):
        np.testing.assert_allclose(example.ravel(), r @ wanted.ravel(), atol=1e-5)


def test_a_rotated_dense_layer_undoes_the_rotation(rng):
    with jax.enable_x64(True):
        r = rotations.random_orthogonal(rng, 1, 5)[0]
        weight = jnp.asarray(rng.standard_normal((5, 3)))
        x = rng.standard_normal((7, 5))
        got = rotations.rotate(x, r) @ rotations.rotated_dense(weight, r)
        np.testing.assert_allclose(got, x @ weight, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "shape", "stride"),
    [((3, 1, 2), (7, 1), 1), ((5, 1, 2), (8, 1), 2), ((3, 2, 2, 2), (4, 3, 2), (1, 2))],
)
def test_the_nearest_convolution_is_the_least_squares_one(rng, kernel, shape, stride):
    with jax.enable_x64(True):
        d = int(np.prod(shape))
        r = rotations.random_orthogonal(rng, 1, d)[0]
        k = jnp.asarray(rng.standard_normal(kernel))
        got, missing = rotations.nearest_convolution(k, r, shape, stride=stride)
        matrix = lambda k: np.asarray(toeplitz_matrix(jnp.asarray(k), shape, stride=stride))
        wanted = matrix(k) @ r.T
        basis = [matrix(e.reshape(kernel)).ravel() for e in np.eye(k.size)]
        solution, residual, *_ = np.linalg.lstsq(np.array(basis).T, wanted.ravel(), rcond=None)
        np.testing.assert_allclose(np.ravel(got), solution, atol=1e-12)
        relative = np.sqrt(residual[0]) / np.linalg.norm(wanted)
        np.testing.assert_allclose(missing, relative, rtol=1e-9)


def test_nothing_is_missing_without_a_rotation_or_for_a_sign(rng):
    kernel = jax.device_put(rng.standard_normal((3, 1, 2)).astype(np.float32))
    for sign in (1.0, -1.0):
        got, missing = rotations.nearest_convolution(kernel, sign * np.eye(6), (6, 1))
        np.testing.assert_allclose(got, sign * kernel, atol=1e-6)
        assert missing < 1e-6


def test_an_input_of_another_size_is_refused(rng):
    with pytest.raises(ValueError, match=r"in_shape: expected 5 values, got \(6, 1\)"):
        rotations.nearest_convolution(jnp.ones((3, 1, 1)), np.eye(5), (6, 1))
