"""The question `equivariance`: at a tiny scale, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.equivariance import question
from experiments.equivariance.networks import CIRCULAR, EXACT, FLAT, ZEROS, compare, lost

from cnnlab.config import ConfigError
from cnnlab.lab import Records

# Verdicts where layers and networks are as they should be: three sentences fail as printed.
RIGHT = {c.name: "fails" if "as_printed" in c.name else "holds" for c in question.claims}


def layer(name, kind, padding, whole, interior, stride=1):
    """Errors at the shifts 1 and 4, of two seeds."""
    facts = {"layer": name, "kind": kind, "padding": padding, "stride": stride}
    return [
        {**facts, "seed": seed, "shift": shift, "whole": w, "interior": i}
        for seed in (0, 1)
        for shift, w, i in zip((1, 4), whole, interior, strict=True)
    ]


def network(name, change, accuracy):
    """Of four seeds, half of which are a little more accurate after training."""
    return [
        {"network": name, "stride": 1 if name == EXACT else 4, "seed": seed, "when": when,
         "shift": shift, "change": c, "same": 0.9,
         "accuracy": a + 0.001 * (when == "after" and seed % 2)}
        for seed in range(4)
        for when in ("before", "after")
        for shift, c, a in zip((0, 1, 4), (0.0, *change), accuracy, strict=True)
    ]  # fmt: skip


def made_up():
    return {
        "layers": [
            *layer("convolution, circular", "convolution", "circular", [1e-7, 0.0], [0.0, 0.0]),
            *layer("convolution, zeros", "convolution", "zeros", [0.6, 0.7], [1e-7, None]),
            *layer("stride 4", "strided", "circular", [1.2, 1e-7], [1.2, 1e-7], stride=4),
            *layer("dense", "unshared", "none", [0.9, 1.1], [0.9, 0.8]),
            *layer("group norm", "norm", "none", [1e-7, 0.0], [1e-7, 0.0]),
        ],
        "global_pools": [
            {"pool": pool, "seed": 0, "shift": shift, "error": 1e-7}
            for pool in ("avg", "max")
            for shift in (1, 4)
        ],
        "peaks": {"differ": 0, "places": 576},
        "baseline": 70.0,
        "pooled": [
            {"pool": "no pooling", "shift": 1, "changes": [0.5, 0.6, 0.7, 0.55]},
            {"pool": "no pooling", "shift": 4, "changes": [0.9] * 4},
            {"pool": "max-pooling", "shift": 1, "changes": [0.3, 0.4, 0.45, 0.3]},
            {"pool": "max-pooling", "shift": 4, "changes": [0.9] * 4},
        ],
        "networks": [
            *network(EXACT, [1e-7, 1e-7], [0.8, 0.8, 0.8]),
            *network(CIRCULAR, [0.2, 1e-7], [0.85, 0.84, 0.85]),
            *network(ZEROS, [0.2, 0.3], [0.86, 0.85, 0.8]),
            *network(FLAT, [0.5, 0.9], [0.88, 0.8, 0.4]),
        ],
    }


def test_tiny(tiny):
    result = tiny(
        "equivariance",
        *("shifts=[2,4]", "seeds=1", "dataset=digits", "steps=2", "batch_size=8", "images=16"),
        *("pool_images=16", "map_shift=2"),
    )
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    del found["accuracy"]  # nothing is learned in two steps
    assert found == {name: RIGHT[name] for name in found}
    layers = Records(result["data"]["layers"])
    for stride, multiple in ((2, True), (3, False)):
        [error] = layers.where(layer=f"stride {stride}, circular", shift=2)["whole"]
        assert error < 1e-5 if multiple else error > 0.1


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^shifts: expected a multiple of 4"):
        tiny("equivariance", "shifts=[1,2]")
    with pytest.raises(ConfigError, match=r"^seeds: expected a whole number >= 1"):
        tiny("equivariance", "seeds=0")


def test_the_judge(verdicts):
    assert verdicts(question, made_up()) == RIGHT
    assert lost(Records(made_up()["networks"]), FLAT)[0] == pytest.approx(0.28)


def rows(part, which, **values):
    """Other values in the rows of a part that `which` finds."""
    return lambda data: [row.update(values) for row in Records(data[part]).where(**which)]


def other(name, change, accuracy):
    """Another network of the name."""

    def spoil(data):
        kept = [row for row in data["networks"] if row["network"] != name]
        data["networks"] = kept + network(name, change, accuracy)

    return spoil


@pytest.mark.parametrize(
    ("claim", "spoil"),
    [
        ("as_printed", rows("layers", {"padding": "zeros"}, whole=0.0)),
        ("inside", rows("layers", {"padding": "circular", "seed": 1, "shift": 1}, whole=0.1)),
        ("inside", rows("layers", {"padding": "zeros", "seed": 0, "shift": 1}, interior=0.1)),
        ("unshared", rows("layers", {"layer": "dense", "seed": 0, "shift": 4}, whole=1e-7)),
        ("strided_as_printed", rows("layers", {"kind": "strided"}, whole=0.0)),
        ("strided", rows("layers", {"kind": "strided", "seed": 0, "shift": 4}, whole=0.1)),
        ("global_pooling", rows("global_pools", {"pool": "max", "shift": 4}, error=0.1)),
        ("peak", lambda data: data["peaks"].update(differ=1)),
        ("partial", rows("pooled", {"pool": "max-pooling"}, changes=[0.9, 0.9, 0.9, 0.95])),
        ("network_as_printed", other(ZEROS, [0.0, 0.0], [0.8, 0.8, 0.8])),
        ("network_exact", rows("networks", {"network": EXACT, "when": "before"}, change=0.1)),
        (
            "network_exact",
            rows("networks", {"network": CIRCULAR, "when": "after", "shift": 4}, change=0.1),
        ),
        ("accuracy", other(FLAT, [0.5, 0.9], [0.88, 0.87, 0.87])),
    ],
)
def test_the_judge_the_other_way(verdicts, claim, spoil):
    data = made_up()
    spoil(data)
    assert verdicts(question, data)[claim] == {"holds": "fails", "fails": "holds"}[RIGHT[claim]]


def test_a_difference_that_straddles_zero_is_inconclusive(verdicts):
    data = made_up()
    rows("pooled", {"pool": "max-pooling", "shift": 1}, changes=[0.3, 0.8, 0.5, 0.6])(data)
    assert verdicts(question, data)["partial"] == "inconclusive"


def test_scores_of_moved_images():
    first = np.array([[0.0, 2.0], [1.0, 0.0]])
    moved = np.array([[0.5, 2.0], [0.0, 1.0]])
    expected = {"accuracy": 0.5, "change": 0.5, "same": 0.5}
    assert compare(moved, first, np.array([1, 0])) == expected
