"""The question `parameter_counts`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest
from experiments.parameter_counts import question
from experiments.parameter_counts.layers import Case, by_xla, counts_of, taps_inside

from cnnlab.config import ConfigError


def row(kind, weights, of="grid", formula=None, biases=4, **shape):
    shape = {"h": 5, "w": 6, "c": 4, "c_out": 4, "s": 3, **shape}
    formula = weights if formula is None else formula
    return {"set": of, "kind": kind, **shape, "weights": weights, "formula": formula,
            "biases": biases}  # fmt: skip


def cost(kind, number, of="grid"):
    shape = {"h": 5, "w": 6, "c": 4, "c_out": 4, "s": 3}
    return {"set": of, "kind": kind, **shape, "padding": "SAME", "formula": number, "xla": number}


DATA = {
    "layers": [
        row("dense", 9_895_604_649_984, "large", h=1024, w=1024, c=3, c_out=3),
        row("dense", 30**2 * 16),
        row("locally connected", 30 * 144),
        row("convolution", 144),
        row("1x1", 16),
        row("depthwise", 36),
        row("grouped", 72),
        row("separable", 52),
        row("convolution", 144, "reference"),
        row("convolution", 9216, "typical", c=32, c_out=32, biases=32),
        row("separable", 1312, "typical", c=32, c_out=32),
    ],
    "costs": [
        cost("dense", 30**2 * 16),
        cost("1x1", 480),
        cost("depthwise", 750),
        cost("grouped", 1500),
        cost("convolution", 3000, "reference"),
    ],
}


def test_tiny(tiny):
    result = tiny(
        "parameter_counts",
        *("sizes=[[5,6]]", "channels=[[4,8]]", "kernels=[3]"),
        *("typical_kernels=[3]", "typical_channels=[32]"),
    )
    assert {c["verdict"] for c in result["claims"]} == {"holds"}
    [dense] = [r for r in result["data"]["layers"] if (r["set"], r["kind"]) == ("large", "dense")]
    assert dense["weights"] == 9_895_604_649_984


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^kernels\[1\]: expected an odd"):
        tiny("parameter_counts", "kernels=[3,4]")
    with pytest.raises(ConfigError, match=r"^sizes\[0\]: "):
        tiny("parameter_counts", "sizes=[[4,9]]")
    with pytest.raises(ConfigError, match=r"^channels\[0\]: "):
        tiny("parameter_counts", "channels=[[3,8]]")


def test_the_judge_agrees(verdicts):
    assert set(verdicts(question, DATA).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "part", "kind", "of", "values"),
    [
        ("dense", "layers", "dense", "grid", {"formula": 7}),
        ("order", "layers", "dense", "large", {"weights": 10**9}),
        ("locally_connected", "layers", "locally connected", "grid", {"formula": 7}),
        ("reduction", "layers", "locally connected", "grid", {"weights": 30 * 144 + 1}),
        ("convolution", "layers", "convolution", "grid", {"formula": 7}),
        ("convolution", "layers", "convolution", "grid", {"biases": 0}),
        ("variants", "layers", "depthwise", "grid", {"formula": 7}),
        ("separable", "layers", "separable", "grid", {"formula": 7}),
        ("smaller", "layers", "separable", "typical", {"weights": 5000}),
        ("multiply_adds", "costs", "1x1", "grid", {"xla": 479.0}),
        ("compute", "layers", "depthwise", "grid", {"weights": 144}),
        ("compute", "costs", "grouped", "grid", {"xla": 3000}),
    ],
)
def test_the_judge_refutes(verdicts, claim, part, kind, of, values):
    data = copy.deepcopy(DATA)
    next(r for r in data[part] if (r["set"], r["kind"]) == (of, kind)).update(values)
    assert verdicts(question, data)[claim] == "fails"


def test_leaves_of_a_layer_that_no_memory_holds():
    found = counts_of(Case("dense", 1024, 1, 3, 1, 1))
    assert (found["weights"], found["biases"]) == (3 * 2**20, 2**10)
    found = counts_of(Case("dense", 2**10, 2**10, 3, 1, 1))
    assert (found["weights"], found["biases"]) == (3 * 2**40, 2**20)


@pytest.mark.parametrize(("n", "s"), [(4, 1), (5, 3), (5, 5), (9, 7)])
def test_taps_inside_by_a_loop(n, s):
    k = s // 2
    read = [i + t for i in range(n) for t in range(-k, k + 1)]
    assert taps_inside(n, s) == sum(0 <= place < n for place in read)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_what_xla_counts(padding):
    places = taps_inside(6, 3) * taps_inside(8, 3) if padding == "SAME" else 4 * 6 * 9
    assert by_xla(Case("convolution", 6, 8, 3, 5, 3), padding) == places * 3 * 5
