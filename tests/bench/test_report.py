"""Where one curve of times crosses another."""

import pytest

from cnnlab.bench import report


def test_fourier_transforms_become_the_faster():
    direct = {1: 1.0, 4: 4.0, 16: 16.0, 64: 64.0}
    size, seconds = report.crossover(direct, dict.fromkeys(direct, 8.0))
    assert (size, seconds) == (pytest.approx(8), pytest.approx(8))
    assert report.crossover(direct, dict.fromkeys(direct, 0.5)) is None
    assert report.crossover(direct, dict.fromkeys(direct, 100.0)) is None
    assert report.crossover({}, {}) is None
