"""Rotated tasks: their distance against closed forms, packings against a plain loop."""

import itertools

import numpy as np
import pytest
from scipy.stats import kstest

from cnnlab.analysis import packing, rotations


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_labels_and_forms_are_the_definition(rng):
    r, x, p = rotations.random_orthogonal(rng, 3, 5), rng.standard_normal((40, 5)), 2
    got, forms = packing.labels(r, x, p), packing.quadratic_forms(packing.orbit(r, p), x)
    q = np.diag([1.0, 1, -1, -1, -1])
    for i, j in itertools.product(range(3), range(40)):
        value = x[j] @ r[i].T @ q @ r[i] @ x[j]
        assert got[i, j] == (value > 0)
        np.testing.assert_allclose(forms[i, j], value, atol=1e-12)


@pytest.mark.parametrize("p", [0, 4])
def test_both_signs_must_occur(rng, p):
    with pytest.raises(ValueError, match=f"p: expected a whole number from 1 to 3, got {p}"):
        packing.signature(4, p)


def test_points_of_the_orbit(rng):
    a = packing.orbit(rotations.random_orthogonal(rng, 10, 5), 2)
    np.testing.assert_allclose(a, np.swapaxes(a, 1, 2), atol=1e-12)
    np.testing.assert_allclose(a @ a, np.broadcast_to(np.eye(5), a.shape), atol=1e-12)
    np.testing.assert_allclose(np.trace(a, axis1=1, axis2=2), -1, atol=1e-12)


def test_rotations_that_leave_the_signature_give_the_same_function(rng):
    r = rotations.block_diagonal(rng, 4, 6, 3)
    x = rng.standard_normal((500, 6))
    one = packing.labels(np.eye(6)[None], x, 3)
    assert (packing.labels(r, x, 3) == one).all()


def test_the_closed_form_of_two_dimensions(rng):
    """Against the share of a fine grid of directions, both determinants."""
    u = (np.arange(200_000) + 0.5) * 2 * np.pi / 200_000
    x = np.stack([np.cos(u), np.sin(u)], 1)
    r, s = (rotations.random_orthogonal(rng, 12, 2) for _ in range(2))
    share = (packing.labels(r, x, 1) != packing.labels(s, x, 1)).mean(1)
    a, b = packing.orbit(r, 1), packing.orbit(s, 1)
    exact = packing.disagreement_2d(a, b)
    np.testing.assert_allclose(share, exact, atol=1e-4)
    np.testing.assert_allclose(
        rotations.frobenius(a, b), 2 * np.sqrt(2) * np.sin(np.pi * exact / 2), atol=1e-12
    )
    np.testing.assert_allclose(packing.disagreement_2d(a, -a), 1, atol=1e-12)


def _blocks(points, size):
    while True:
        for start in range(0, len(points), size):
            yield points[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 50])
def test_the_greedy_packing_is_that_of_a_plain_loop(rng, size):
    points = rng.standard_normal((200, 3))
    kept = []
    for point in points:
        if all(np.linalg.norm(point - other) >= 0.8 for other in kept):
            kept.append(point)
    got = packing.greedy_packing(_blocks(points, size), 0.8, patience=250 / len(kept))
    assert got.full
    np.testing.assert_array_equal(got.points, kept)
    few = packing.greedy_packing(_blocks(points, size), 0.8, largest=5)
    assert not few.full
    np.testing.assert_array_equal(few.points, kept[:5])


def test_a_full_packing_of_a_circle_leaves_no_place(rng):
    """No two points closer than the distance, and the gaps too short for another one."""

    def draw():
        while True:
            u = rng.uniform(0, 2 * np.pi, 256)
            yield np.stack([np.cos(u), np.sin(u)], 1)

    angle = 0.1
    got = packing.greedy_packing(draw(), 2 * np.sin(angle / 2), patience=2000)
    u = np.sort(np.arctan2(got.points[:, 1], got.points[:, 0]))
    gaps = np.diff(u, append=u[0] + 2 * np.pi)
    assert got.full and gaps.min() >= angle and gaps.max() < 2.1 * angle
    # Random sequential adsorption on a line covers 0.7476 of it (Renyi, 1958).
    assert abs(len(u) * angle / (2 * np.pi) - 0.7476) < 0.06


def test_candidates_must_not_end(rng):
    with pytest.raises(ValueError, match="candidates: expected endless blocks"):
        packing.greedy_packing(iter([rng.standard_normal((4, 2))]), 0.1)


def test_the_volume_of_balls_on_the_orthogonal_group(rng):
    """On O(3): `(t - sin t) / (2 pi)` for the angle t of `||I - R||_F = 2 sqrt(2) sin(t / 2)`."""
    points = lambda n: rotations.random_orthogonal(rng, n, 3).reshape(n, 9)
    distances = np.array([0.8, 1.5, 1.9])
    t = 2 * np.arcsin(distances / np.sqrt(8))
    expected = (t - np.sin(t)) / (2 * np.pi)
    found = packing.distances_from_one(points, 20_000)
    got = np.searchsorted(found, distances) / 20_000
    np.testing.assert_allclose(got, expected, atol=4 * np.sqrt(expected.max() / 20_000))


@pytest.mark.parametrize(("d", "radius"), [(2, 0.3), (3, 0.3), (3, 1.5)])
def test_points_in_a_ball_have_haars_measure(rng, d, radius):
    """By the angle t of the rotation: uniform in the plane, density 1 - cos t in space."""
    eye = np.eye(d)
    distance = lambda r: np.sqrt(np.square(r - eye).sum((1, 2)))
    got = packing.distances_in_ball(distance, d, radius, n=1500, steps=150, rng=rng)
    t = lambda far: 2 * np.arcsin(far / np.sqrt(8))  # ||I - R||_F = 2 sqrt(2) sin(t / 2) in both
    volume = (lambda t: t) if d == 2 else (lambda t: t - np.sin(t))
    share = volume(t(got)) / volume(t(radius))
    assert kstest(share, "uniform").pvalue > 0.01
