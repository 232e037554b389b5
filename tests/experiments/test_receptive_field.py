"""The question `receptive_field`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest
from made_up import changed

from cnnlab.config import ConfigError
from experiments.receptive_field import CLAIMS, exponent, judge, widening

RIGHT = {c.name: "fails" if c.name == "linear_as_printed" else "holds" for c in CLAIMS}


def field(width):
    return {"width": width, "picture": [0.5, 1.0, 0.5]}


def trained(before, after):
    return {"before": field(before), "after": field(after), "accuracy": 0.5}


DATA = {
    "stacks": {"3": [[1, 3, 0], [2, 5, 0]], "5": [[1, 5, 0], [2, 9, 0]]},
    "pooled": [
        {"apart": 1, "closed": 3, "measured": 3, "added": 2},
        {"apart": 2, "closed": 8, "measured": 8, "added": 4},
    ],
    "chains": [{"about": "1-D", "closed": [[3, 2, 0.5]], "measured": [[3, 2, 0.5]]}],
    "pixels": 4,
    "coverage": [0.5, 0.9, 1.0],
    "random": {"1": [field(1.0), field(1.1)], "4": [field(2.0), field(2.1)]},
    "kernel": 5,
    "trained": {
        "1": [trained(1.0, 1.1), trained(1.0, 1.2)],
        "2": [trained(1.4, 1.6), trained(1.4, 1.5)],
    },
    "picture_kernel": 3,
    "picture": {"2": trained(1.0, 1.2)},
}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    small = "{dataset: digits, kernel: 3, depths: [1], channels: 4, steps: 2, inputs: 8}"
    small = small.replace("}", ", batch_size: 8}")
    result = tiny(
        "receptive_field",
        *("seeds=1", "kernels=[3]", "depths=[1,2]", "stages=3", "models=2", "pixels=4"),
        "random={depths: [1, 2], channels: 4, inputs: 4}",
        *(f"trained={small}", f"picture={small}"),
    )
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    for name in ("effective", "training"):  # too few networks, nothing learned
        del found[name]
    assert found == {name: RIGHT[name] for name in found}
    assert result["data"]["coverage"][-1] == 1


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^kernels\[0\]: expected an odd"):
        tiny("receptive_field", "kernels=[4]")
    with pytest.raises(ConfigError, match=r"^pixels: "):
        tiny("receptive_field", "pixels=2")


def test_the_judge():
    assert verdicts(DATA) == RIGHT
    assert exponent(DATA["random"]).mean == pytest.approx(0.483, abs=1e-3)
    assert len(widening(DATA["trained"])) == 2


@pytest.mark.parametrize(
    "claim, path, value",
    [
        ("patches", ("stacks", "3", 1, 2), 1),
        ("linear", ("stacks", "5", 1, 1), 8),
        ("linear_as_printed", ("pooled", 1, "added"), 2),
        ("with_pooling", ("pooled", 1, "added"), 2),
        ("closed_form", ("chains", 0, "measured", 0, 2), 1.0),
        ("whole", ("coverage", 1), 1.0),
        ("whole", ("coverage", 2), 0.9),
        ("effective", ("random", "4"), [field(4.0), field(4.1)]),
        ("training", ("trained",), {"1": [trained(1.0, 0.9), trained(1.0, 0.89)]}),
    ],
)
def test_the_judge_the_other_way(claim, path, value):
    other = {"holds": "fails", "fails": "holds"}
    assert verdicts(changed(DATA, path, value))[claim] == other[RIGHT[claim]]


def test_one_seed_shows_nothing():
    data = copy.deepcopy(DATA)
    data["trained"] = {"1": [trained(1.0, 2.0)]}
    assert verdicts(data)["training"] == "inconclusive"
