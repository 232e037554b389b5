"""Crossings of power laws, which are straight lines between logarithms."""

import pytest

from cnnlab.bench.crossover import crossover


def test_a_power_law():
    sizes = [3, 9, 20, 50]
    assert crossover(sizes, [(12 / k) ** 2 for k in sizes]) == pytest.approx(12)
    assert crossover([2, 8], [2.0, 0.5]) == pytest.approx(4)


def test_the_last_crossing_counts():
    assert crossover([1, 2, 4, 8, 16], [2, 0.5, 2, 0.5, 0.1]) == pytest.approx(4 * 2**0.5)
    assert crossover([1, 2, 4], [1.0, 0.5, 0.2]) == pytest.approx(1)


def test_no_crossing():
    assert crossover([1, 2, 4], [0.9, 0.5, 0.2]) == 1.0
    assert crossover([1, 2, 4], [2.0, 0.5, 1.0]) is None
