"""The question `toeplitz`: at a tiny scale, and its judge on made-up data."""

import copy

import numpy as np
from experiments.toeplitz import PRINTED, question

DATA = {
    "four_pixels": {name: [[float(v) for v in row] for row in m] for name, m in PRINTED.items()},
    "blocks": [{"algorithm": "auto", "uneven": 1e-7}, {"algorithm": "lax", "uneven": 0.0}],
    "jacobians": [{"convolution": "a", "error": 0.0}, {"convolution": "b", "error": 1e-7}],
}


def test_tiny(tiny):
    result = tiny("toeplitz", "geometries=3")
    assert {c["verdict"] for c in result["claims"]} == {"holds"}
    assert result["data"]["four_pixels"] == DATA["four_pixels"]
    assert np.asarray(result["data"]["picture"]).shape == (36, 36)


def test_the_judge(verdicts):
    assert set(verdicts(question, DATA).values()) == {"holds"}
    other = copy.deepcopy(DATA)
    other["four_pixels"]["locally connected"][3][1] = 41.0
    found = verdicts(question, other)
    assert {name for name, verdict in found.items() if verdict != "holds"} == {"entries"}
    other = copy.deepcopy(DATA)
    other["blocks"][1]["uneven"] = 0.1
    assert verdicts(question, other)["blocks"] == "fails"
    other = copy.deepcopy(DATA)
    other["four_pixels"]["convolution"][2][2] = 5.0
    assert verdicts(question, other)["toeplitz"] == "fails"
    other = copy.deepcopy(DATA)
    other["jacobians"].append({"convolution": "c", "error": 1e-3})
    assert verdicts(question, other)["linear"] == "fails"
