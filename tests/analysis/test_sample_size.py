"""The search over training-set sizes, against a walk along the whole grid."""

import math

import pytest

from cnnlab.analysis.sample_size import SizeSearch


def learner(thresholds, asked=None):
    """Seeds whose accuracy is 1 - threshold / (20 n): 95 % at n = threshold."""

    def measure(sizes):
        if asked is not None:
            asked.append(list(sizes))
        return [1 - t / (20 * n) if n else math.nan for t, n in zip(thresholds, sizes, strict=True)]

    return measure


def walk(threshold, target, least, most, per_octave):
    """Every size of the grid, from the smallest."""
    for k in range(100 * per_octave):
        n = round(2 ** (k / per_octave))
        if least <= n <= most and 1 - threshold / (20 * n) >= target:
            return n
    return None


@pytest.mark.parametrize("per_octave", [1, 4])
@pytest.mark.parametrize("start", [8, 100, 5000])
def test_the_search_finds_what_a_walk_finds(start, per_octave):
    thresholds = [3, 8, 9, 40, 333, 1000, 2000, 90_000]
    asked = []
    search = SizeSearch(
        learner(thresholds, asked), len(thresholds), most=2048, per_octave=per_octave
    )
    for target in (0.9, 0.95):
        expected = [walk(t, target, 8, 2048, per_octave) for t in thresholds]
        assert search.smallest(target, start) == expected
    assert expected[0] == 8 and expected[-1] is None
    # Far fewer than the grid has, and no size twice.
    assert len(asked) <= 2 * 12
    for i, known in enumerate(search.known):
        sizes = [row[i] for row in asked if row[i]]
        assert len(sizes) == len(set(sizes)) == len(known)
        assert all(8 <= n <= 2048 for n in sizes)


def test_what_is_known_serves_another_target():
    asked = []
    search = SizeSearch(learner([100], asked), 1, most=4096)
    assert search.smallest(0.95, 64) == [108]
    rounds = len(asked)
    assert search.smallest(0.95, 64) == [108] and len(asked) == rounds


def test_an_accuracy_that_dips_ends_all_the_same():
    values = {16: 0.9, 32: 0.97, 19: 0.99, 23: 0.1, 27: 0.1}
    search = SizeSearch(lambda sizes: [values.get(n, 0.0) for n in sizes], 1, most=64)
    assert search.smallest(0.95, 16) == [32]


def test_bad_bounds():
    with pytest.raises(ValueError, match="least, most: expected 2 <= least <= most, got 8, 4"):
        SizeSearch(learner([1]), 1, most=4)
