"""The question `orthogonal_equivariance`: at a tiny scale, and its judge on made-up data."""

import copy
import itertools

import numpy as np
import pytest
from made_up import changed

from cnnlab.errors import ConfigError
from experiments.orthogonal_equivariance import ARMS, EQUIVARIANT, TRAININGS, judge

TINY = ("data=fake", "steps=8", "seeds=1", "starts=3", "convolutions=3", "rotations=1",
        "inputs=2", "batch_size=8", "widths=[6]", "plan=[2,M]", "kernel_size=3",
        "train_size=32", "test_size=20", "descent_size=16")  # fmt: skip


def sample(rng, mean, n=80):
    return {
        "accuracy": (mean + 0.005 * rng.standard_normal(n)).tolist(),
        "loss": rng.standard_normal(n).tolist(),
        "margins": rng.standard_normal((n, 2)).tolist(),
    }


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    gap = lambda fine, coarse: [
        {"float64": [fine * s] * 2, "float32": [coarse * s] * 2, "equal": [1.0, 0.9],
         "missing": [0.8, 0.9]} for s in (1, 1.5, 2)
    ]  # fmt: skip
    bases = ("original", "rotation 0", "rotation 1")
    return {
        "gradient": [{"first layer": 1e-15, "largest": 2e-15}],
        "trainings": {n: gap(1e-14, 1e-5) if n in (*EQUIVARIANT, "Muon") else gap(0.3, 0.3)
                      for n in TRAININGS},
        "arms": {
            arm: {b: sample(rng, 0.8 if b == "original" or "SGD" in arm else 0.5) for b in bases}
            for arm in ARMS
        },
    }  # fmt: skip


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def judged(data, *path_and_value):
    *path, value = path_and_value
    return verdicts(changed(data, path, value))


def test_tiny(tiny):
    result = tiny("orthogonal_equivariance", *TINY)
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["gradient"] == "holds" and found["equivariant"] == "holds", result["claims"]
    assert found["every_algorithm"] == "fails"
    assert min(g for t in result["data"]["trainings"]["SGD, same start"] for g in t["float64"]) > 0
    arms = result["data"]["arms"]
    assert [len(v["accuracy"]) for a in arms.values() for v in a.values()] == [3] * 4
    losses = list(itertools.chain(*(v["loss"] for a in arms.values() for v in a.values())))
    assert len(set(losses)) == len(losses)  # every start is its own


@pytest.mark.parametrize("wrong", ["starts=1", "rotations=0", "seeds=0", "steps=2.5"])
def test_wrong_settings(tiny, wrong):
    with pytest.raises(ConfigError, match=f"{wrong.split('=')[0]}: expected a whole number >="):
        tiny("orthogonal_equivariance", *TINY, wrong)


def test_the_judge_where_the_theorem_holds(data):
    expected = {name: "holds" for name in verdicts(data)} | {"every_algorithm": "fails"}
    assert verdicts(data) == expected


def test_the_judge_where_it_does_not(data):
    assert judged(data, "gradient", 0, "largest", 1e-3)["gradient"] == "fails"
    # A true difference; and one that is small, but as large in the lower precision.
    for fine, coarse in ((0.3, 0.3), (1e-11, 1e-11)):
        one = {"float64": [fine, 0.0], "float32": [coarse] * 2, "equal": [1.0], "missing": []}
        assert judged(data, "trainings", "momentum", 0, one)["equivariant"] == "fails"
        assert judged(data, "trainings", "Muon", 0, one)["muon"] == "fails"
    same = data["trainings"]["SGD"]
    other = judged(data, "trainings", "Adam", same)
    assert other["adam"] == "fails" and other["every_algorithm"] == "holds"
    assert judged(data, "trainings", "convolution, nearest start", same)["convolution"] == "fails"
    almost = copy.deepcopy(data["trainings"]["convolution, nearest start"])
    for training in almost:
        training["missing"] = [0.001, 0.0011]
    assert judged(data, "trainings", "convolution, nearest start", almost)["convolution"] == (
        "fails"
    )


def test_the_judge_of_distributions(data):
    rng = np.random.default_rng(1)
    dense, conv = "fully connected, SGD", "convolutional, momentum"
    assert judged(data, "arms", dense, "rotation 1", sample(rng, 0.7))["distribution"] == "fails"
    # The same accuracy, but other functions.
    shifted = sample(rng, 0.8)
    shifted["margins"] = [[a, b + 3] for a, b in shifted["margins"]]
    assert judged(data, "arms", dense, "rotation 0", shifted)["distribution"] == "fails"
    assert judged(data, "arms", conv, "rotation 0", sample(rng, 0.8))["worse"] == "fails"
    few = {"original": sample(rng, 0.8, 2), "rotation 0": sample(rng, 0.75, 2)}
    wide = copy.deepcopy(few)
    wide["rotation 0"]["accuracy"] = [0.5, 0.9]
    assert judged(data, "arms", conv, wide)["worse"] == "inconclusive"
