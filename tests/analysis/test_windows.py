"""The chapter's formulas against numbers worked out by hand, SciPy, and each other."""

import numpy as np
import pytest
from scipy.signal import correlate2d

from cnnlab.analysis import windows


def test_sizes_by_hand():
    assert windows.printed_size(5, 3, 1, 0) == 3
    assert windows.printed_size(7, 3, 2, 1) == 4
    assert windows.printed_size(6, 2, 2, 0) == 3
    # Windows that do not fit: floor(-2 / 1) + 1 and floor(-1 / 2) + 1.
    assert windows.printed_size(3, 5, 1, 0) == -1 and windows.printed_size(3, 4, 2, 0) == 0
    assert windows.formula(3, 5, 1, (0, 0)) == 0
    assert windows.formula(9, 3, 2, (1, 0), dilation=2) == 3
    assert windows.counted(9, 3, 2, (1, 0), dilation=2) == 3


def test_the_formula_counts_windows():
    for size in range(1, 12):
        for kernel in range(1, 6):
            for stride in range(1, 5):
                for pads in ((0, 0), (1, 1), (2, 0), (0, 3)):
                    for dilation in (1, 2, 3):
                        case = (size, kernel, stride, pads, dilation)
                        assert windows.formula(*case) == windows.counted(*case), case


def test_convolution_against_scipy():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((6, 7, 2)), rng.standard_normal((3, 2, 2, 3))
    for m in range(3):
        full = sum(correlate2d(np.pad(x[..., c], 1), kernel[..., c, m], "valid") for c in range(2))
        got = windows.plain_convolution(x, kernel, stride=2, padding=1)
        assert np.allclose(got[..., m], full[::2, ::2])


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 1), (2, 3)])
def test_max_pool(window, stride):
    z = np.random.default_rng(1).standard_normal((7, 8))
    views = np.lib.stride_tricks.sliding_window_view(z, (window, window))
    expected = views.max((2, 3))[::stride, ::stride]
    assert np.array_equal(windows.plain_max_pool(z, window, stride), expected)


def test_padding_that_keeps_sizes():
    assert windows.keeping_sizes(3, range(1, 9)) == [1]
    assert windows.keeping_sizes(7, [9]) == [3]
    assert windows.keeping_sizes(4, [9]) == []
