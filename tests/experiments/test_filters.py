"""The question `filters`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest
from made_up import changed

from cnnlab.config import ConfigError
from experiments.filters import judge

AS_PRINTED = ("any_edge", "red_edges", "vertical_gradient", "index_printed")
FLAT = {"windows": 100, "flat": 10, "flat_nonzero": 0, "beyond": 0}
PHOTO = {
    "repainted": 0,
    "positions": 100,
    "flat": {"vertical": FLAT, "red": FLAT},
    "explained": {"red": [[0.8, 0.1], [0.9, 0.0], [0.85, 0.1]]},
    "fir": {"differ": 0, "compared": 100},
}
DATA = {
    "photos": {"a": PHOTO},
    "angles": [0, 90, 180],
    "synthetic": {
        "edges": {"vertical": [3.0, 0.0, -3.0], "horizontal": [0.0, 3.0, 0.0]},
        "lines": {"0": {"on": 6.0, "off": -3.0, "edge": 3.0}},
        "ramps": {"vertical": {"down": 0.0, "right": -6.0}},
        "colours": [["R", "", 3.0], ["RGB", "B", 3.0], ["G", "", 0.0], ["G", "RB", -3.0]],
    },
    "indices": [{"positions": 30, "undefined": 21, "defined_differ": 0, "layer_differ": 0}],
}
EXPECTED = dict.fromkeys(judge(DATA), "holds") | dict.fromkeys(AS_PRINTED, "fails")


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny("filters", "photos=[flower.jpg]", "images=2", "tile=128", "crop=[20,30]")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == EXPECTED
    data = result["data"]
    assert data["synthetic"]["edges"]["vertical"][0] == 3.0
    assert data["photos"]["flower.jpg"]["flat"]["ridge"]["flat"] > 100
    shapes = {name: p["shape"] for name, p in data["pictures"]["flower.jpg"].items()}
    assert shapes["photograph"] == [20, 30, 3] and shapes["red"] == [18, 28]


def test_a_photograph_that_is_not_there(tiny):
    with pytest.raises(ConfigError, match=r"^photos\[0\]: "):
        tiny("filters", "photos=[dog.jpg]")


@pytest.mark.parametrize(
    ("path", "value", "claim", "verdict"),
    [
        (("photos", "a", "flat", "red", "flat_nonzero"), 1, "flat", "fails"),
        (("photos", "a", "flat", "vertical", "beyond"), 1, "flat", "fails"),
        (("photos", "a", "repainted"), 3, "red_channel", "fails"),
        (("photos", "a", "fir", "differ"), 3, "fir", "fails"),
        (("synthetic", "colours", 0, 2), 2.0, "red_channel", "fails"),
        (("synthetic", "lines", "0", "on"), 2.0, "ridge", "fails"),
        (("synthetic", "lines", "0", "off"), 6.0, "ridge", "fails"),
        (("synthetic", "ramps", "vertical", "down"), 6.0, "horizontal_gradient", "fails"),
        (("synthetic", "edges", "vertical", 2), 3.0, "any_edge", "holds"),
        (("indices", 0, "undefined"), 0, "index_printed", "holds"),
        (("indices", 0, "defined_differ"), 1, "index", "fails"),
        (("indices", 0, "layer_differ"), 1, "index", "fails"),
    ],
)
def test_one_number_changes_one_verdict(path, value, claim, verdict):
    assert verdicts(changed(DATA, path, value)) == EXPECTED | {claim: verdict}


def test_the_judge():
    assert verdicts(DATA) == EXPECTED
    data = copy.deepcopy(DATA)
    data["synthetic"]["edges"]["vertical"] = [-3.0, 0.0, 3.0]  # a kernel of the other sign
    assert verdicts(data) == EXPECTED | {"bright_left": "fails"}
    data = copy.deepcopy(DATA)
    data["synthetic"]["colours"] = [["R", "", 3.0], ["G", "B", 0.0]]
    assert verdicts(data) == EXPECTED | {"red_edges": "holds"}
    data = copy.deepcopy(DATA)
    data["photos"]["a"]["explained"]["red"] = [[0.1, 0.8], [0.2, 0.9], [0.0, 0.9]]
    changed = {"vertical_gradient": "holds", "horizontal_gradient": "fails"}
    assert verdicts(data) == EXPECTED | changed
    data["photos"]["a"]["explained"]["red"] = [[0.1, 0.8], [0.9, 0.2], [0.5, 0.4]]
    changed = dict.fromkeys(changed, "inconclusive")
    assert verdicts(data) == EXPECTED | changed
