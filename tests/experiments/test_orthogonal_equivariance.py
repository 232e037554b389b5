"""The question `orthogonal_equivariance`: at a tiny scale, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.orthogonal_equivariance import question
from experiments.orthogonal_equivariance.networks import (
    ARMS,
    CONVOLUTIONAL_ARM,
    DENSE_ARM,
    EQUIVARIANT,
    TRAININGS,
)

from cnnlab.errors import ConfigError
from cnnlab.lab import Records

TINY = ("data=fake", "steps=8", "seeds=1", "starts=3", "convolutions=3", "rotations=1",
        "inputs=2", "batch_size=8", "widths=[6]", "plan=[2,M]", "kernel_size=3",
        "train_size=32", "test_size=20", "descent_size=16")  # fmt: skip
NEAREST = "convolution, nearest start"


def sample(rng, arm, basis, mean, n=80):
    accuracy = mean + 0.005 * rng.standard_normal(n)
    loss, margins = rng.standard_normal(n), rng.standard_normal((n, 2))
    return [
        {"arm": arm, "basis": basis, "start": i, "accuracy": a, "loss": b, "margins": c}
        for i, (a, b, c) in enumerate(
            zip(accuracy.tolist(), loss.tolist(), margins.tolist(), strict=True)
        )
    ]


def gaps(training, fine, coarse):
    """Of three networks, each on a rotation and on a reflection."""
    return [
        {"training": training, "seed": seed, "determinant": determinant, "float64": fine * s,
         "float32": coarse * s, "equal": 0.9, "missing": 0.85 + 0.05 * determinant}
        for seed, s in enumerate((1, 1.5, 2)) for determinant in (1, -1)
    ]  # fmt: skip


def grown(training, exponent):
    """Gaps after more and more steps."""
    return [
        {**row, "steps": steps}
        for steps in (50, 100, 200, 400)
        for row in gaps(training, 1e-15 * steps**exponent, 1e-6)
    ]


@pytest.fixture
def data():
    """For which all claims hold, but that of every algorithm."""
    rng = np.random.default_rng(0)
    exact = (*EQUIVARIANT, "Muon")
    return {
        "gradients": [{"seed": 0, "largest": 2e-15}],
        "trainings": [
            row for name in TRAININGS
            for row in gaps(name, *((1e-14, 1e-5) if name in exact else (0.3, 0.3)))
        ],
        "growth": [row for name in EQUIVARIANT for row in grown(name, 0.5)],
        "learned": [
            row for arm in ARMS for basis in ("original", "rotation 0", "rotation 1")
            for row in sample(
                rng, arm, basis, 0.8 if basis == "original" or arm == DENSE_ARM else 0.5
            )
        ],
        "baseline": 60.0,
    }  # fmt: skip


@pytest.fixture
def judged(verdicts, data):
    """Verdicts where the rows of a part with some values are others."""

    def judge(part, rows, **where):
        kept = [row for row in data[part] if any(row[k] != v for k, v in where.items())]
        return verdicts(question, {**data, part: kept + rows})

    return judge


def test_tiny(tiny):
    result = tiny("orthogonal_equivariance", *TINY)
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["gradient"] == "holds" and found["equivariant"] == "holds", result["claims"]
    assert found["every_algorithm"] == "fails"
    trainings, learned = (Records(result["data"][part]) for part in ("trainings", "learned"))
    assert min(trainings.where(training="SGD, same start")["float64"]) > 0
    growth = Records(result["data"]["growth"])
    assert {steps: len(rows) for steps, rows in growth.by("steps").items()} == dict.fromkeys(
        (1, 2, 4, 8), 2 * len(EQUIVARIANT)
    )
    assert growth.where(steps=8)["float64"] == trainings.where(training=EQUIVARIANT)["float64"]
    groups = learned.by("arm", "basis").values()
    assert [len(rows) for rows in groups] == [3] * 4
    assert {len(margins) for margins in learned["margins"]} == {2}
    assert len(set(learned["loss"])) == len(learned)  # every start is its own


@pytest.mark.parametrize("wrong", ["starts=1", "rotations=0", "seeds=0", "steps=2.5"])
def test_wrong_settings(tiny, wrong):
    with pytest.raises(ConfigError, match=f"{wrong.split('=')[0]}: expected a whole number >="):
        tiny("orthogonal_equivariance", *TINY, wrong)


def test_what_has_not_learnt_says_nothing(verdicts, data):
    found = verdicts(question, data | {"baseline": 90.0})
    assert found["distribution"] == found["convolution"] == "inconclusive"


def test_the_judge_where_the_theorem_holds(verdicts, data):
    found = verdicts(question, data)
    assert found.pop("every_algorithm") == "fails"
    assert set(found.values()) == {"holds"}


def test_the_judge_where_it_does_not(judged, data):
    wrong = [{"seed": 0, "largest": 1e-3}]
    assert judged("gradients", wrong, seed=0)["gradient"] == "fails"
    # A true difference; and one that is small, but as large in the lower precision.
    for fine, coarse in ((0.3, 0.3), (1e-11, 1e-11)):
        for name, claim in (("momentum", "equivariant"), ("Muon", "muon")):
            [one, *_] = gaps(name, fine, coarse)
            which = {key: one[key] for key in ("training", "seed", "determinant")}
            assert judged("trainings", [one], **which)[claim] == "fails"
    faster = judged("growth", grown("SGD", 1.5), training="SGD")
    assert faster["adds_up"] == "fails" and faster["equivariant"] == "holds"
    other = judged("trainings", gaps("Adam", 1e-14, 1e-5), training="Adam")
    assert other["adam"] == "fails" and other["every_algorithm"] == "holds"
    same = gaps(NEAREST, 1e-14, 1e-5)
    assert judged("trainings", same, training=NEAREST)["convolution"] == "fails"
    almost = [
        {**row, "missing": 0.001 + 1e-4 * (row["determinant"] < 0)}
        for row in data["trainings"]
        if row["training"] == NEAREST
    ]
    assert judged("trainings", almost, training=NEAREST)["convolution"] == "fails"


def test_the_judge_of_distributions(judged, data):
    rng = np.random.default_rng(1)

    def with_sample(rows, arm, basis):
        return judged("learned", rows, arm=arm, basis=basis)

    worse = sample(rng, DENSE_ARM, "rotation 1", 0.7)
    assert with_sample(worse, DENSE_ARM, "rotation 1")["distribution"] == "fails"
    # The same accuracy, but other functions.
    shifted = sample(rng, DENSE_ARM, "rotation 0", 0.8)
    for row in shifted:
        row["margins"][1] += 3
    assert with_sample(shifted, DENSE_ARM, "rotation 0")["distribution"] == "fails"
    as_good = sample(rng, CONVOLUTIONAL_ARM, "rotation 0", 0.8)
    assert with_sample(as_good, CONVOLUTIONAL_ARM, "rotation 0")["worse"] == "fails"
    few = [
        row
        for basis, mean in (("original", 0.8), ("rotation 0", 0.75))
        for row in sample(rng, CONVOLUTIONAL_ARM, basis, mean, 2)
    ]
    for row, accuracy in zip(few[2:], (0.5, 0.9), strict=True):
        row["accuracy"] = accuracy
    assert judged("learned", few, arm=CONVOLUTIONAL_ARM)["worse"] == "inconclusive"
