"""The question `parameter_counts`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest

from cnnlab.config import ConfigError
from experiments.parameter_counts import CLAIMS, judge


def row(kind, weights, formula=None, biases=4, **shape):
    shape = {"h": 5, "w": 6, "c": 4, "c_out": 4, "s": 3, **shape}
    formula = weights if formula is None else formula
    return {"kind": kind, **shape, "weights": weights, "formula": formula, "biases": biases}


def costed(kind, weights, xla, convolution=None):
    costs = {"SAME": [xla, xla]}
    return {**row(kind, weights), "multiply_adds": costs, "convolution": convolution}


CONV = costed("convolution", 144, 3000)
DATA = {
    "large": [row("dense", 9_895_604_649_984, h=1024, w=1024, c=3, c_out=3)],
    "grid": [
        costed("dense", 30**2 * 16, 30**2 * 16),
        costed("locally connected", 30 * 144, 30 * 144),
        CONV,
        costed("1x1", 16, 480),
        costed("depthwise", 36, 750, CONV),
        costed("grouped", 72, 1500, CONV),
        costed("separable", 52, 1230),
    ],
    "typical": [
        row("convolution", 9216, c=32, c_out=32, biases=32),
        row("separable", 1312, c=32, c_out=32),
    ],
    "sides": [],
}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny(
        "parameter_counts",
        *("sizes=[[5,6]]", "channels=[[4,8]]", "kernels=[3]"),
        *("typical_kernels=[3]", "typical_channels=[32]"),
    )
    assert {c["verdict"] for c in result["claims"]} == {"holds"}
    [dense] = [r for r in result["data"]["large"] if r["kind"] == "dense"]
    assert dense["weights"] == 9_895_604_649_984


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^kernels\[1\]: expected an odd"):
        tiny("parameter_counts", "kernels=[3,4]")
    with pytest.raises(ConfigError, match=r"^sizes\[0\]: "):
        tiny("parameter_counts", "sizes=[[4,9]]")
    with pytest.raises(ConfigError, match=r"^channels\[0\]: "):
        tiny("parameter_counts", "channels=[[3,8]]")


def test_the_judge_agrees():
    assert list(verdicts(DATA)) == [c.name for c in CLAIMS]
    assert set(verdicts(DATA).values()) == {"holds"}


@pytest.mark.parametrize(
    "claim, part, index, key, value",
    [
        ("dense", "grid", 0, "formula", 7),
        ("order", "large", 0, "weights", 10**9),
        ("locally_connected", "grid", 1, "formula", 7),
        ("reduction", "grid", 1, "weights", 30 * 144 + 1),
        ("convolution", "grid", 2, "formula", 7),
        ("convolution", "grid", 2, "biases", 0),
        ("variants", "grid", 4, "formula", 7),
        ("separable", "grid", 6, "formula", 7),
        ("smaller", "typical", 1, "weights", 5000),
        ("multiply_adds", "grid", 3, "multiply_adds", {"VALID": [480, 479.0]}),
        ("compute", "grid", 4, "weights", 144),
        ("compute", "grid", 5, "multiply_adds", {"SAME": [3000, 3000]}),
    ],
)
def test_the_judge_refutes(claim, part, index, key, value):
    data = copy.deepcopy(DATA)
    data[part][index][key] = value
    assert verdicts(data)[claim] == "fails"
