"""The question `packing`: at a tiny scale, and its judge on made-up data."""

import copy
import math

import numpy as np
import pytest

from cnnlab.errors import ConfigError
from experiments._packing import rotated_pairs
from experiments.packing import judge

TINY = ("dimensions=[2,4]", "pairs=4", "inputs=500", "seeds=2", "packed=[2,3]", "one_of=[4,8,16]",
        "signs=200", "draws=2000", "patience=3.0",
        "walkers=200", "walk=20")  # fmt: skip
N = 20_000


def pair_sets():
    """Disagreements of 1 / (pi sqrt(d)) times the distance on the orbit, rising with the other."""
    sets = []
    for d in (2, 8, 32):
        for kind in ("independent", "nearby", "one plane", "same task"):
            far = np.linspace(0.1, 1, 12) * math.sqrt(d)
            same = kind == "same task"
            counts = [0 if same else round(N * v / (math.pi * math.sqrt(d))) for v in far]
            sets.append({
                "kind": kind, "d": d, "seed": 0, "inputs": N, "not_product": 0,
                "rotations": (far + 0.3).tolist(),
                "orbit": [0.0 if same else v for v in far.tolist()],
                "disagree": counts, "negative": list(counts),
            })  # fmt: skip
    return sets


def place(space, d, exponent):
    """Packings of `20 (1.5 / delta)^exponent` points; the last at a constant distance."""
    distances = [1.0, 0.8, 0.6, 0.45]
    root = 0.5 if space == "functions" else 1.0
    sets = [
        [
            {"distance": x**root, "m": round(20 * (1.5 / x) ** exponent * (1 + wobble)),
             "full": True}
            for x in distances
        ] + [{"distance": 1.0, "m": round(4 * math.exp(0.2 * d * d)), "full": True}]
        for wobble in (-0.01, 0.0, 0.01)
    ]  # fmt: skip
    volumes = [1 / (15 * (1.5 / x) ** exponent) for x in distances]
    return {
        "space": space, "d": d, "dimension": exponent, "sets": sets,
        "small": {"inside": 1353, "walkers": 10_000, "fraction": math.exp(-2 / exponent)},
        "balls": {"distances": distances, "draws": 10**7,
                  "within": [round(1e7 * v) for v in volumes],
                  "half": [round(1e7 * v / 2**exponent) for v in volumes]},
    }  # fmt: skip


@pytest.fixture
def data():
    sizes = {2: (1, 1), 3: (3, 2), 4: (6, 4)}
    return {
        "pairs": pair_sets(),
        "packings": [
            place(space, d, group if space == "rotations" else orbit)
            for space in ("rotations", "orbit", "functions")
            for d, (group, orbit) in sizes.items()
        ],
    }


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny("packing", *TINY)
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["product"] == "holds" and found["printed"] == "fails"
    assert found["more_different_orbit"] in ("holds", "inconclusive")
    assert [p["d"] for p in result["data"]["packings"]] == [2, 3] * 3
    assert all(s["full"] for p in result["data"]["packings"] for found in p["sets"] for s in found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("dimensions=[2,3]", "dimensions[1]: expected an even whole number >= 2, got 3"),
        ("packed=[1,2]", "packed[0]: expected a whole number >= 2, got 1"),
        ("packed=[3]", "packed: expected a list of at least 2 whole"),
        ("pairs=1", "pairs: expected a whole number >= 2, got 1"),
        ("one_of=[1,2]", "one_of[0]: expected a whole number >= 2, got 1"),
        ("spread=0.0", "spread: expected a number > 0, got 0.0"),
    ],
)
def test_wrong_settings(tiny, wrong, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        tiny("packing", *TINY, wrong)


def test_the_judge_where_the_corrected_statements_hold(data):
    refuted = {"printed", "constant", "functions_printed"}
    expected = {name: "fails" if name in refuted else "holds" for name in verdicts(data)}
    assert verdicts(data) == expected


def test_the_judge_of_pairs_that_are_otherwise(data):
    other = copy.deepcopy(data)
    other["pairs"][0]["not_product"] = 1
    assert verdicts(other)["product"] == "fails"
    # Every pair as the relation is printed: also those of the same task disagree.
    other = copy.deepcopy(data)
    for pairs in other["pairs"]:
        pairs["disagree"] = [round(N * 0.1 * v) for v in pairs["rotations"]]
        pairs["orbit"] = pairs["rotations"]
    found = verdicts(other)
    assert found["printed"] == "holds"
    assert found["constant"] == "holds" and found["root"] == "fails"
    # A pair with another task that never disagrees.
    for at in (3, 4):
        other = copy.deepcopy(data)
        other["pairs"][1]["disagree"][at] = 0
        assert verdicts(other)["corrected"] == "fails"
    other = copy.deepcopy(data)
    for pairs in other["pairs"]:
        pairs["negative"] = [0] * len(pairs["negative"])
        if pairs["kind"] == "nearby":
            pairs["rotations"] = pairs["rotations"][::-1]
    found = verdicts(other)
    assert found["hint"] == "fails" and found["more_different"] == "fails"
    assert found["more_different_orbit"] == "holds"
    for pairs in other["pairs"]:
        pairs["orbit"] = pairs["orbit"][::-1]
    assert verdicts(other)["more_different_orbit"] == "fails"


def test_the_judge_of_packings_that_are_otherwise(data):
    for space, group in (("rotations", False), ("orbit", True)):
        other = copy.deepcopy(data)
        d4 = next(p for p in other["packings"] if (p["space"], p["d"]) == (space, 4))
        d4.update(place(space, 4, 6 if group else 4))
        name = "functions" if group else space
        assert verdicts(other)[name] == "fails"
    other = copy.deepcopy(data)
    other["packings"] = [place(s, 3, 3) for s in ("rotations", "orbit", "functions")]
    assert verdicts(other)["functions_printed"] == "holds"
    for key, value in (("within", 1), ("half", 10**7)):
        other = copy.deepcopy(data)
        other["packings"][4]["balls"][key][1] = value
        assert verdicts(other)["volume"] == "fails"
    other = copy.deepcopy(data)
    for found in (s for p in other["packings"] for s in p["sets"]):
        found[-1]["m"] = 10**6 - round(found[-1]["m"])
    assert verdicts(other)["exponential"] == "fails"
    for found in (s for p in other["packings"] for s in p["sets"]):
        for packing in found:
            packing["full"] = False
    found = verdicts(other)
    assert {found[n] for n in ("exponential", "volume")} == {"inconclusive"}


@pytest.mark.parametrize("kind", ["independent", "nearby", "one plane", "same task"])
def test_pairs_are_orthogonal(kind):
    one, other = rotated_pairs(kind, np.random.default_rng(0), 5, 5, 2)
    for r in (*one, *other):
        np.testing.assert_allclose(r @ r.T, np.eye(5), atol=1e-9)
