"""The question `output_shapes`: its formulas, a tiny scale, and its judge on made-up data."""

import itertools

import numpy as np
import pytest
from experiments.output_shapes import preserving, question
from experiments.output_shapes.windows import (
    KINDS,
    WINDOWS,
    counted_windows,
    general_size,
    printed_size,
    windows_of,
)
from made_up import changed
from scipy.signal import correlate2d

from cnnlab.config import ConfigError

LAYERS = ("convolution", "lax", WINDOWS)
SHAPES = [
    {"kind": kind, "layer": layer, "given": 10, "refused": 0, "printed": 0, "general": 0}
    for kind, layer in itertools.product(KINDS, LAYERS)
]
ROW = {(row["kind"], row["layer"]): i for i, row in enumerate(SHAPES)}
SHAPES[ROW["too large", "convolution"]] |= {"refused": 10, "printed": 10}
SHAPES[ROW["too large", "lax"]] |= {"printed": 7}
SHAPES[ROW["dilated", "convolution"]] |= {"printed": 9}
SHAPES[ROW["uneven padding", "convolution"]] |= {"printed": 5}
KERNELS = ((1, [0], 0), (2, [], 1), (3, [1], 2))
DATA = {
    "shapes": SHAPES,
    "values": [
        {"outputs": "sums", "given": 20, "differ": 0},
        {"outputs": "maxima", "given": 9, "differ": 0},
    ],
    "kernels": [
        {"kernel": k, "P": p, "total": total, "sizes": 40, "lost": 0} for k, p, total in KERNELS
    ],
}
FAIL = {"any_kernel", "holes", "preserve"}
EXPECTED = {c.name: "fails" if c.name in FAIL else "holds" for c in question.claims}


def test_sizes_by_hand():
    assert printed_size(5, 3, 1, 0) == 3
    assert printed_size(7, 3, 2, 1) == 4
    assert printed_size(6, 2, 2, 0) == 3
    # Windows that do not fit: floor(-2 / 1) + 1 and floor(-1 / 2) + 1.
    assert printed_size(3, 5, 1, 0) == -1 and printed_size(3, 4, 2, 0) == 0
    assert general_size(3, 5, 1, (0, 0), 1) == 0
    assert general_size(9, 3, 2, (1, 0), 2) == counted_windows(9, 3, 2, (1, 0), 2) == 3
    assert [preserving(kernel)["P"] for kernel in (3, 4, 7)] == [[1], [], [3]]


def test_the_formula_counts_windows():
    pads = ((0, 0), (1, 1), (2, 0), (0, 3))
    for case in itertools.product(range(1, 12), range(1, 6), range(1, 5), pads, (1, 2, 3)):
        assert general_size(*case) == counted_windows(*case), case


def test_loops_against_scipy_and_numpy():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((8, 9, 2)), rng.standard_normal((3, 2, 2, 3))
    got = np.einsum("ijklc,klcm->ijm", windows_of(x, (3, 2), 2), kernel)
    for m in range(3):
        full = sum(correlate2d(x[..., c], kernel[..., c, m], "valid") for c in range(2))
        assert np.allclose(got[..., m], full[::2, ::2])
    for window, stride in ((2, 2), (3, 1), (2, 3)):
        views = np.lib.stride_tricks.sliding_window_view(x[..., 0], (window, window))
        expected = views[::stride, ::stride]
        assert np.array_equal(windows_of(x[..., 0], (window, window), stride), expected)


def test_tiny(tiny):
    result = tiny("output_shapes", "geometries=40", "arrays=2")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == EXPECTED
    found = {(row["kind"], row["layer"]): row for row in result["data"]["shapes"]}
    assert all(found[kind, layer]["given"] == 10 for kind in KINDS for layer in LAYERS)
    assert found["too large", "convolution"]["refused"] == 10
    assert found["too large", "lax"]["refused"] == 0
    assert [k["P"] for k in result["data"]["kernels"][:4]] == [[0], [], [1], []]


def test_nothing_to_compare(tiny):
    with pytest.raises(ConfigError, match=r"^arrays: expected a whole number >= 1, got 0"):
        tiny("output_shapes", "arrays=0")


@pytest.mark.parametrize(
    ("path", "value", "claim", "verdict"),
    [
        (("shapes", ROW["even padding", "lax"], "printed"), 1, "size", "fails"),
        (("shapes", ROW["too large", "lax"], "printed"), 0, "any_kernel", "holds"),
        (("shapes", ROW["dilated", "convolution"], "printed"), 0, "holes", "holds"),
        (("shapes", ROW["uneven padding", "lax"], "general"), 1, "general", "fails"),
        (("shapes", ROW["dilated", WINDOWS], "general"), 1, "general", "fails"),
        (("kernels", 1, "P"), [1], "preserve", "holds"),
        (("kernels", 2, "P"), [1, 2], "preserve_sides", "fails"),
        (("kernels", 1, "total"), 2, "preserve_sides", "fails"),
        (("kernels", 1, "lost"), 1, "preserve_sides", "fails"),
        (("values", 0, "differ"), 1, "sum", "fails"),
        (("values", 1, "differ"), 1, "maximum", "fails"),
    ],
)
def test_one_number_changes_one_verdict(path, value, claim, verdict, verdicts):
    assert verdicts(question, DATA) == EXPECTED
    assert verdicts(question, changed(DATA, path, value)) == EXPECTED | {claim: verdict}
