"""Widths for a budget, against a search of all of them."""

import itertools

import pytest

from cnnlab.analysis.budget import fit_widths, scaled_widths


def dense(widths):
    """Parameters of 3x3 convolutions in a chain, from one channel to the last width."""
    return sum(9 * a * b for a, b in itertools.pairwise((1, *widths)))


@pytest.mark.parametrize("base", [(16, 32, 64), (8, 8), (3,), (16, 32, 32, 64, 64)])
@pytest.mark.parametrize("target", [50, 1000, 23_184, 400_000])
def test_near_the_target(base, target):
    widths = fit_widths(dense, base, target)
    # What one more or one less in the last width would change is more than what is missing.
    one = 9 * (1, *widths)[-2]
    assert abs(dense(widths) - target) <= one / 2 + 1e-9 or widths[-1] == 1
    scaled = {scaled_widths(base, 1.003**i)[:-1] for i in range(-2000, 4000)}
    assert widths[:-1] in scaled


def test_the_base_itself_where_it_fits():
    assert fit_widths(dense, (16, 32, 64), dense((16, 32, 64))) == (16, 32, 64)


def test_no_other_last_width_is_nearer():
    found = fit_widths(dense, (16, 32, 64), 5000)
    others = [(*found[:-1], last) for last in range(1, 200)]
    assert abs(dense(found) - 5000) == min(abs(dense(other) - 5000) for other in others)


@pytest.mark.parametrize("target", [100, 5000, 100_000])
def test_steps(target):
    widths = fit_widths(dense, (16, 32, 64), target, step=8)
    assert all(width % 8 == 0 and width >= 8 for width in widths)


def test_nested_widths_are_multiples():
    count = lambda widths: 10 * sum(widths)
    widths = fit_widths(count, (16, 32, 64), 10 * 7 * 205, nested=True)
    assert widths == (205, 410, 820)
    assert scaled_widths((16, 32, 64), 0.1, nested=True) == (2, 4, 8)
    assert scaled_widths((16, 32, 64), 0.1) == (2, 3, 6)


def test_as_small_as_it_gets():
    assert fit_widths(dense, (16, 32, 64), 1) == (1, 1, 1)


def test_a_target_of_nothing():
    with pytest.raises(ValueError, match=r"^target: expected"):
        fit_widths(dense, (16,), 0)
