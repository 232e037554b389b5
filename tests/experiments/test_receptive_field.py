"""The question `receptive_field`: at a tiny scale, and its judge on made-up data."""

import math

import pytest
from experiments.receptive_field import exponent, question, widening
from made_up import changed

from cnnlab.config import ConfigError
from cnnlab.lab import Records

RIGHT = dict.fromkeys((c.name for c in question.claims), "holds") | {"linear_as_printed": "fails"}


def field(depth, seed, width, **more):
    return {"depth": depth, "seed": seed, "width": width, "picture": [0.5, 1.0, 0.5], **more}


def trained(depth, seed, before, after):
    return [
        field(depth, seed, before, when="untrained"),
        field(depth, seed, after, when="trained", accuracy=0.5),
    ]


DATA = {
    "stacks": [
        {"kernel": 3, "depth": 1, "size": 3, "unlike": 0},
        {"kernel": 3, "depth": 2, "size": 5, "unlike": 0},
        {"kernel": 5, "depth": 1, "size": 5, "unlike": 0},
        {"kernel": 5, "depth": 2, "size": 9, "unlike": 0},
    ],
    "pooled": [
        {"apart": 1, "closed": 3, "measured": 3, "added": 2},
        {"apart": 2, "closed": 8, "measured": 8, "added": 4},
    ],
    "chains": [{"about": "1-D", "closed": [[3, 2, 0.5]], "measured": [[3, 2, 0.5]]}],
    "pixels": 4,
    "coverage": [{"depth": i + 1, "coverage": share} for i, share in enumerate((0.5, 0.9, 1.0))],
    "random": [field(1, 0, 1.0), field(1, 1, 1.1), field(4, 0, 2.0), field(4, 1, 2.1)],
    "trained": [
        *(*trained(1, 0, 1.0, 1.3), *trained(1, 1, 1.0, 1.4)),
        *(*trained(2, 0, 1.4, 1.9), *trained(2, 1, 1.4, 1.8)),
    ],
    "picture": trained(2, 0, 1.0, 1.2),
    "baseline": 30.0,
    "kernels": {"trained": 5, "picture": 3},
}


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
    assert result["data"]["coverage"][-1]["coverage"] == 1


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^kernels\[0\]: expected an odd"):
        tiny("receptive_field", "kernels=[4]")
    with pytest.raises(ConfigError, match=r"^pixels: "):
        tiny("receptive_field", "pixels=2")


def test_the_judge(verdicts):
    assert verdicts(question, DATA) == RIGHT
    assert exponent(Records(DATA["random"])).mean == pytest.approx(0.483, abs=1e-3)
    logs = [math.log(1.3) + math.log(1.9 / 1.4), math.log(1.4) + math.log(1.8 / 1.4)]
    assert widening(Records(DATA["trained"])) == pytest.approx([log / 2 for log in logs])


@pytest.mark.parametrize(
    "claim, path, value",
    [
        ("patches", ("stacks", 1, "unlike"), 1),
        ("linear", ("stacks", 3, "size"), 8),
        ("linear_as_printed", ("pooled", 1, "added"), 2),
        ("with_pooling", ("pooled", 1, "added"), 2),
        ("closed_form", ("chains", 0, "measured", 0, 2), 1.0),
        ("whole", ("coverage", 1, "coverage"), 1.0),
        ("whole", ("coverage", 2, "coverage"), 0.9),
        ("effective", ("random",), [field(1, 0, 1.0), field(4, 0, 4.0), field(4, 1, 4.1)]),
        ("training", ("trained",), [*trained(1, 0, 1.0, 1.02), *trained(1, 1, 1.0, 1.01)]),
    ],
)
def test_the_judge_the_other_way(claim, path, value, verdicts):
    other = {"holds": "fails", "fails": "holds"}
    assert verdicts(question, changed(DATA, path, value))[claim] == other[RIGHT[claim]]


def test_one_seed_shows_nothing(verdicts):
    data = DATA | {"trained": trained(1, 0, 1.0, 2.0)}
    assert verdicts(question, data)["training"] == "inconclusive"
