"""Fourier transforms in compiled code: cut into blocks in every way, causal to the bit."""

import functools

import numpy as np
import pytest
from algorithm_checks import are_exact
from primitive_cases import arrays, compiled, needs_engine, predicted

from cnnlab.bench.reference import convolution, relative_error
from cnnlab.ops import PASSES, REGISTRY, describe
from cnnlab.ops.algorithms.native import NATIVE
from cnnlab.ops.algorithms.native_fft import NATIVE_FFT

pytestmark = needs_engine

EACH = {"groups": 8}
CAUSAL = {**EACH, "padding": "CAUSAL"}
CASES = {
    "causal": [
        ((3, 300, 9), (300, 1, 9), {"groups": 9, "padding": "CAUSAL"}),  # nearly empty vectors
        ((2, 5, 8), (3, 1, 8), CAUSAL),  # summed tap by tap
        ((2, 1500, 8), (1500, 1, 8), CAUSAL),  # blocks in blocks
        ((1, 5000, 8), (100, 1, 8), CAUSAL),
        ((2, 200, 8), (40, 1, 8), {**EACH, "padding": [(90, 0)]}),
    ],
    "any padding": [
        ((5, 301, 16), (77, 1, 16), {"groups": 16}),
        ((2, 777, 8), (512, 1, 8), {**EACH, "padding": "VALID"}),
        ((2, 9000, 8), (50, 1, 8), {**EACH, "padding": "VALID"}),
        ((2, 50, 8), (11, 1, 8), {**EACH, "padding": [(70, 13)]}),
        ((2, 50, 8), (11, 1, 8), {**EACH, "padding": [(1, 130)]}),
        ((2, 5, 1), (12, 1, 2), {"padding": [(11, 9)]}),
    ],
    "stride and dilation": [
        ((2, 501, 8), (101, 1, 8), {**EACH, "padding": [(70, 13)], "stride": 3, "dilation": 2}),
        ((3, 400, 4), (60, 1, 4), {"groups": 4, "padding": "CAUSAL", "stride": 3, "dilation": 5}),
    ],
    "more channels than groups": [
        ((3, 200, 4), (150, 1, 8), {"groups": 4, "padding": "CAUSAL"}),
        ((2, 300, 8), (120, 2, 12), {"groups": 4}),
        ((2, 300, 8), (120, 2, 12), {"groups": 4, "padding": "CAUSAL"}),
        ((2, 100, 3), (70, 3, 4), {}),
    ],
    "dense": [
        ((2, 90, 12), (40, 12, 20), {"padding": [(70, 13)]}),
        ((2, 130, 16), (33, 16, 24), {"padding": "VALID", "stride": 3, "dilation": 2}),
        ((9, 301, 16), (9, 16, 17), {"padding": [(3, 70)]}),  # several blocks, and parts of these
        ((2, 31, 5), (40, 5, 9), {"padding": [(39, 38)]}),  # the kernel is longer
        # Spectra of more than what is computed at a time: of blocks, and of kernels.
        ((50, 1500, 2), (12, 2, 8), {"padding": [(500, 600)], "dilation": 100}),
        ((1, 4000, 64), (3, 64, 48), {"padding": "CAUSAL", "dilation": 2000}),
    ],
    "dense and causal": [
        ((2, 300, 12), (300, 12, 20), {"padding": "CAUSAL"}),  # pieces in pieces
        ((2, 400, 8), (60, 8, 12), {"padding": "CAUSAL"}),  # and what was before the longest
        ((2, 90, 9), (3, 9, 9), {"padding": "CAUSAL", "stride": 2, "dilation": 3}),
        ((1, 200, 12), (40, 12, 8), {"padding": [(90, 0)]}),
    ],
    "groups of many channels": [
        ((2, 150, 24), (31, 12, 40), {"groups": 2}),  # vectors that are not full
        ((2, 150, 24), (31, 12, 24), {"groups": 2, "padding": "CAUSAL"}),
        ((2, 100, 36), (20, 6, 30), {"groups": 6}),
    ],
    "images and volumes": [
        ((2, 9, 11, 4), (3, 5, 1, 4), {"groups": 4}),
        ((2, 5, 4, 8), (7, 9, 1, 8), EACH),  # the kernel is longer than a row
        ((1, 6, 5, 8), (2, 3, 1, 8), {**EACH, "padding": ((1, 4), (6, 0)), "stride": (1, 2)}),
        ((2, 9, 8, 6), (5, 4, 6, 10), {"stride": (2, 1)}),
        (
            (2, 4, 5, 6, 4),
            (3, 3, 2, 2, 6),
            {"groups": 2, "stride": (1, 2, 1), "dilation": (1, 1, 2)},
        ),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case):
    are_exact(NATIVE_FFT.name, [describe(x, k, **options) for x, k, options in CASES[case]])


def passes(problem, name):
    """The forward pass and the gradient in the input, compiled."""
    compute = REGISTRY[name].compute
    return [compiled(functools.partial(compute, w, problem=problem)) for w in PASSES[:2]]


@pytest.mark.parametrize("taps, groups", [(15, 8), (700, 8), (700, 1), (80, 2)])
def test_what_is_to_come_changes_no_bit(taps, groups):
    """Of results, and in the gradient in the input of what is earlier in the cotangent."""
    n = min(taps, 300) if groups < 8 else taps
    problem = describe((2, n, 8), (taps, 8 // groups, 8), groups=groups, padding="CAUSAL")
    x, kernel, dy = arrays(problem)
    forward, back = passes(problem, NATIVE_FFT.name)
    now = n // 2
    y, dx = forward(x, kernel), back(dy, kernel)
    for factor in (1e6, np.nan):
        later, earlier = np.array(x), np.array(dy)
        later[:, now:] *= factor
        earlier[:, :now] *= factor
        np.testing.assert_array_equal(forward(later, kernel)[:, :now], y[:, :now])
        np.testing.assert_array_equal(back(earlier, kernel)[:, now:], dx[:, now:])
    assert np.isfinite(y).all() and np.isfinite(dx).all()


@pytest.mark.parametrize("groups", [24, 1])
@pytest.mark.parametrize("padding", ["CAUSAL", "SAME"])
def test_no_example_meets_another(padding, groups):
    """However loud its neighbour in the batch is, or if that is no number."""
    problem = describe((2, 150, 24), (60, 24 // groups, 24), groups=groups, padding=padding)
    values = x, kernel, dy = arrays(problem)
    forward, back = passes(problem, NATIVE_FFT.name)
    y, dx, _ = convolution(*map(np.asarray, values), problem)
    for factor in (1e6, np.nan):
        louder = np.array([1, factor], np.float32)[:, None, None]
        assert relative_error(forward(x * louder, kernel)[0], y[0]) < NATIVE_FFT.rounding
        assert relative_error(back(dy * louder, kernel)[0], dx[0]) < NATIVE_FFT.rounding


@pytest.mark.parametrize("groups", [4, 1])
@pytest.mark.parametrize("padding", ["CAUSAL", "SAME", "VALID"])
def test_zeros_where_a_window_holds_none_but_zeros(padding, groups):
    """Of each example by itself, also between what is not zero."""
    problem = describe((2, 400, 4), (30, 4 // groups, 4), groups=groups, padding=padding)
    x, kernel, dy = (
        np.zeros(problem.x_shape, np.float32),
        arrays(problem)[1],
        np.zeros(problem.y_shape, np.float32),
    )
    for a in (x, dy):
        a[0, 40], a[0, 200], a[1, 350] = 1, 2, 3
    wanted = convolution(x, kernel, dy, problem)
    forward, back = passes(problem, NATIVE_FFT.name)
    for got, exact in zip((forward(x, kernel), back(dy, kernel)), wanted[:2], strict=True):
        np.testing.assert_array_equal(got == 0, exact == 0)


@pytest.mark.parametrize("padding", ["CAUSAL", "SAME"])
def test_is_preferred_for_long_kernels(padding):
    problem = functools.partial(describe, (8, 4096, 64), groups=64, padding=padding)
    assert predicted(problem((4096, 1, 64)), engine=True) == [NATIVE_FFT.name] * len(PASSES)
    assert predicted(problem((31, 1, 64)), engine=True) == [NATIVE.name] * len(PASSES)


@pytest.mark.parametrize("padding, short, long", [("SAME", 6, 16), ("CAUSAL", 16, 96)])
def test_is_preferred_for_long_kernels_between_many_channels(padding, short, long):
    problem = functools.partial(describe, (8, 4096, 64), padding=padding)
    assert predicted(problem((long, 64, 64)), engine=True) == [NATIVE_FFT.name] * len(PASSES)
    assert predicted(problem((short, 64, 64)), engine=True)[:2] == [NATIVE.name] * 2


def test_is_preferred_for_large_kernels_of_images():
    problem = functools.partial(describe, (16, 32, 32, 32), groups=32)
    assert predicted(problem((31, 31, 1, 32)), engine=True) == [NATIVE_FFT.name] * len(PASSES)
    assert predicted(problem((11, 11, 1, 32)), engine=True) == [NATIVE.name] * len(PASSES)
