"""The packing argument's counts and volumes, against random subspaces and closed forms."""

import math

import numpy as np
import pytest

from cnnlab.analysis.information import (
    Packing,
    orbit_dimension,
    orbit_packing,
    orbit_rank,
    rotation_dimension,
    rotation_packing,
)


def subspaces(random, n, d):
    """Orthonormal bases of random subspaces of dimension d/2, `(n, d, d/2)`."""
    return np.linalg.qr(random.standard_normal((n, d, d // 2)))[0]


@pytest.mark.parametrize("d", [2, 4, 6, 10])
def test_dimensions(d):
    rotation = np.linalg.qr(np.random.default_rng(d).standard_normal((d, d)))[0]
    assert orbit_rank(rotation) == orbit_dimension(d) == d * d // 4
    assert rotation_dimension(d) == sum(range(d))


def test_a_packing_counts_in_bits():
    assert Packing(3, 8.0, 2.0).bits == 6
    assert Packing(3, 1.0, 2.0).bits == 0


@pytest.mark.parametrize(("d", "radius"), [(2, 0.2), (4, 0.4), (6, 0.7)])
def test_the_share_of_a_ball_is_that_of_random_subspaces(d, radius):
    """Chordal distances of 100,000 random subspaces to the first d/2 coordinates.

    The density has a factor `prod_i (1 - sin^2 phi_i)^(-1/2)` that the leading order leaves out;
    to first order in r^2 it adds `r^2 / 2 * t / (t + 2)` of the share.
    """
    bases = subspaces(np.random.default_rng(0), 100_000, d)
    chordal = np.sqrt(np.maximum(d / 2 - np.square(bases[:, : d // 2]).sum((1, 2)), 0))
    separation = math.acos(1 - 4 * radius**2 / d) / math.pi
    packing = orbit_packing(d, separation)
    assert packing.radius == pytest.approx(radius)
    inside = (chordal <= radius).sum()
    assert inside > 80
    t = packing.dimension
    leading = (radius / packing.constant) ** t
    expected = 1 + radius**2 / 2 * t / (t + 2)
    assert inside / 100_000 / leading == pytest.approx(
        expected, abs=radius**4 / 2 + 3 * expected / math.sqrt(inside)
    )


def test_lines_in_a_plane():
    """d = 2 in closed form: angles are uniform, and O(2) is two circles of length 2 sqrt(2) pi."""
    packing = orbit_packing(2, 0.1)
    assert packing.constant == pytest.approx(math.pi / 2)
    assert packing.radius == pytest.approx(math.sin(math.pi * 0.1 / 2))
    packing = rotation_packing(2, 0.1)
    assert packing.constant == pytest.approx(4 * math.sqrt(2) * math.pi / 2)


def test_disagreement_is_the_angle():
    """dist = arccos(rho) / pi, of a pair of random subspaces in a large dimension."""
    random = np.random.default_rng(1)
    d = 40
    first = np.eye(d)[:, : d // 2]
    mixed = first + 0.1 * random.standard_normal((d, d // 2))
    second = np.linalg.qr(mixed)[0]
    a, b = (2 * basis @ basis.T - np.eye(d) for basis in (first, second))
    x = random.standard_normal((20_000, d))
    signs = [np.einsum("ni,ij,nj->n", x, m, x) > 0 for m in (a, b)]
    expected = math.acos(np.trace(a @ b) / d) / math.pi
    assert (signs[0] != signs[1]).mean() == pytest.approx(expected, rel=0.05)
    # And the radius that goes with it is the chordal distance.
    chordal = math.sqrt(d / 2 - np.square(first.T @ second).sum())
    assert orbit_packing(d, expected).radius == pytest.approx(chordal)


def test_a_random_small_rotation_moves_the_matrix_by_the_root_of_two():
    random = np.random.default_rng(2)
    d = 60
    q = np.diag(np.where(np.arange(d) < d // 2, 1.0, -1.0))
    generator = random.standard_normal((d, d)) * 1e-4
    rotation = np.linalg.qr(np.eye(d) + generator - generator.T)[0]
    rotation *= np.sign(np.diag(rotation))
    ratio = np.linalg.norm(rotation.T @ q @ rotation - q) / np.linalg.norm(rotation - np.eye(d))
    assert ratio == pytest.approx(math.sqrt(2), rel=0.05)
    # So that the separation is the radius times sqrt(2 / d) / pi.
    assert rotation_packing(d, 0.1).radius * math.sqrt(2 / d) / math.pi == pytest.approx(0.1)
