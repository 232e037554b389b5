"""The question `filters`: at a tiny scale, parts against loops, its judge on made-up data."""

import copy

import numpy as np
import pytest
from experiments.filters import question
from experiments.filters.kernels import (
    KERNELS,
    edge,
    indexed_sum,
    line,
    local_range,
    on_ramp,
    respond,
)
from made_up import changed
from scipy.signal import convolve2d, correlate2d

from cnnlab.config import ConfigError

AS_PRINTED = ("any_edge", "red_edges", "vertical_gradient", "index_printed")
EXPECTED = dict.fromkeys((c.name for c in question.claims), "holds")
EXPECTED |= dict.fromkeys(AS_PRINTED, "fails")


def tile(horizontal, vertical):
    return {"kernel": "red", "horizontal": horizontal, "vertical": vertical}


def colours(left, right, output):
    return {"left": left, "right": right, "output": output}


WINDOWS = {"windows": 100, "flat": 10, "flat_nonzero": 0, "beyond": 0, "counts": [], "means": []}
DATA = {
    "windows": [{"photo": "a", "kernel": kernel, **WINDOWS} for kernel in ("vertical", "red")],
    "explained": [tile(0.8, 0.1), tile(0.9, 0.0), tile(0.85, 0.1)],
    "repainted": [{"photo": "a", "changed": 0, "positions": 100}],
    "reversed": [{"photo": "a", "kernel": "ridge", "differ": 0, "compared": 100}],
    "edges": [
        {"kernel": "vertical", "angle": angle, "output": output}
        for angle, output in ((0, 3.0), (90, 0.0), (180, -3.0))
    ],
    "lines": [{"angle": 0, "on": 6.0, "off": -3.0, "edge": 3.0}],
    "ramps": [{"kernel": "vertical", "brighter": "downwards", "output": 0.0}],
    "colours": [
        colours("red", "black", 3.0),
        colours("white", "blue", 3.0),
        colours("lime", "black", 0.0),
        colours("lime", "magenta", -3.0),
    ],
    "sums": [{"positions": 30, "undefined": 21, "defined_differ": 0, "layer_differ": 0}],
}


def test_tiny(tiny):
    result = tiny("filters", "photos=[flower.jpg]", "images=2", "tile=128", "crop=[20,30]")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == EXPECTED
    data = result["data"]
    assert data["edges"][0] == {"kernel": "vertical", "angle": 0, "output": 3.0}
    assert data["windows"][0]["kernel"] == "ridge" and data["windows"][0]["flat"] > 100
    shapes = {part["shows"]: part["shape"] for part in data["pictures"]}
    assert shapes["photograph"] == [20, 30, 3] and shapes["red"] == [18, 28]


def test_a_photograph_that_is_not_there(tiny):
    with pytest.raises(ConfigError, match=r"^photos\[0\]: "):
        tiny("filters", "photos=[dog.jpg]")


@pytest.mark.parametrize("name", KERNELS)
def test_the_activation_map_is_a_correlation(name):
    image = np.random.default_rng(0).integers(0, 256, (7, 6, 3)).astype(np.float32)
    read = image[..., 0]
    given = image if name == "red" else read
    assert np.array_equal(respond(name, given), correlate2d(read, KERNELS[name], "valid"))
    flipped = respond(name, given, flip=True)
    assert np.array_equal(flipped, convolve2d(read, KERNELS[name], "valid"))


def test_local_range():
    image = np.random.default_rng(2).integers(0, 256, (6, 5)).astype(np.float32)
    expected = [[np.ptp(image[i : i + 3, j : j + 3]) for j in range(3)] for i in range(4)]
    assert local_range(image).tolist() == expected


def test_images():
    assert edge(0.0, 3).tolist() == [[1, 0.5, 0]] * 3
    assert np.allclose(edge(90.0, 3), [[1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]])
    assert np.allclose(edge(180.0, 4), [[0, 0, 1, 1]] * 4)
    assert line(0.0, 3).tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert line(90.0, 3).tolist() == [[0, 1, 0]] * 3
    assert line(45.0, 3).tolist() == np.eye(3)[::-1].tolist()
    # Three rows of weights 1, two pixels apart.
    assert (on_ramp("vertical", "downwards"), on_ramp("vertical", "to the right")) == (0, -6)
    assert (on_ramp("horizontal", "downwards"), on_ramp("horizontal", "to the right")) == (-6, 0)


def test_the_index_of_the_chapter():
    rng = np.random.default_rng(3)
    x, weights = rng.standard_normal((5, 6, 2)), rng.standard_normal((3, 3, 4, 2))
    got = indexed_sum(x, weights, 2, 3, printed=False)
    expected = np.einsum("abzd,abd->z", weights, x[0:3, 1:4])
    assert np.allclose(got, expected)
    # At the corner a row and a column of zeros.
    corner = indexed_sum(x, weights, 1, 1, printed=True)
    assert np.allclose(corner, np.einsum("abzd,abd->z", weights[1:, 1:], x[:2, :2]))
    with pytest.raises(KeyError):
        indexed_sum(x, weights, 4, 1, printed=True)


@pytest.mark.parametrize(
    ("path", "value", "claim", "verdict"),
    [
        (("windows", 1, "flat_nonzero"), 1, "flat", "fails"),
        (("windows", 0, "beyond"), 1, "flat", "fails"),
        (("repainted", 0, "changed"), 3, "red_channel", "fails"),
        (("reversed", 0, "differ"), 3, "fir", "fails"),
        (("colours", 0, "output"), 2.0, "red_channel", "fails"),
        (("lines", 0, "on"), 2.0, "ridge", "fails"),
        (("lines", 0, "off"), 6.0, "ridge", "fails"),
        (("ramps", 0, "output"), 6.0, "horizontal_gradient", "fails"),
        (("edges", 2, "output"), 3.0, "any_edge", "holds"),
        (("sums", 0, "undefined"), 0, "index_printed", "holds"),
        (("sums", 0, "defined_differ"), 1, "index", "fails"),
        (("sums", 0, "layer_differ"), 1, "index", "fails"),
    ],
)
def test_one_number_changes_one_verdict(path, value, claim, verdict, verdicts):
    assert verdicts(question, changed(DATA, path, value)) == EXPECTED | {claim: verdict}


def test_the_judge(verdicts):
    assert verdicts(question, DATA) == EXPECTED
    data = copy.deepcopy(DATA)
    for row in data["edges"]:  # a kernel of the other sign
        row["output"] *= -1
    assert verdicts(question, data) == EXPECTED | {"bright_left": "fails"}
    data = DATA | {"colours": [colours("red", "black", 3.0), colours("lime", "blue", 0.0)]}
    assert verdicts(question, data) == EXPECTED | {"red_edges": "holds"}
    data = DATA | {"explained": [tile(0.1, 0.8), tile(0.2, 0.9), tile(0.0, 0.9)]}
    found = {"vertical_gradient": "holds", "horizontal_gradient": "fails"}
    assert verdicts(question, data) == EXPECTED | found
    data = DATA | {"explained": [tile(0.1, 0.8), tile(0.9, 0.2), tile(0.5, 0.4)]}
    assert verdicts(question, data) == EXPECTED | dict.fromkeys(found, "inconclusive")
