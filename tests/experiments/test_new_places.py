"""The question `new_places`: a tiny scale, its images, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.new_places import ALL, FLATTEN, HALF, MLP, NETWORKS, POOLED, canvases, question

from cnnlab.data import fake
from cnnlab.lab import Records


def test_tiny(tiny):
    result = tiny(
        "new_places", "data=fake", "data.shape=[8,8,1]", "data.train_size=64", "data.test_size=32",
        "plan=[4,M]", "widths=[4]", "seeds=1", "most_seeds=1", "limit_train=null",
        "limit_eval=32", "steps=1", "batch_size=16",
    )  # fmt: skip
    assert result["data"]["seen"] == 1
    runs = Records(result["data"]["runs"])
    assert len(runs) == 4 * 3 and list(runs.by("column")) == [0, 2, 4]


def test_objects_are_where_they_should_be():
    data = fake(shape=(8, 6, 1), train_size=40, test_size=4)
    shown = canvases(data, 1, seed=0)
    objects = np.asarray(shown.test.in_memory().image)
    small = np.asarray(data.test.in_memory().image).reshape(4, 4, 2, 3, 2, 1).mean((2, 4)).round()
    np.testing.assert_array_equal(objects[:, :4, :3], small)
    assert not objects[:, 4:].any() and not objects[:, :, 3:].any()
    there = np.asarray(shown.train.in_memory().image)[..., 0] > 0
    assert there.any((0, 1)).tolist() == [True] * 4 + [False] * 2 and there.any((0, 2)).all()
    sums = lambda images: images.sum((1, 2, 3), dtype=int)
    from_corner = canvases(data, 0, seed=0).train.in_memory().image
    np.testing.assert_array_equal(sums(shown.train.in_memory().image), sums(from_corner))


def made_up(everywhere=50.0, **new):
    """Of networks trained at the left: 70 % there, `new` elsewhere."""
    new = {MLP: 11.0, FLATTEN: 20.0, POOLED: 70.5, **new}
    return {
        "seen": 4,
        "baselines": [
            {"places": HALF, "logistic regression": 60.0},
            {"places": ALL, "logistic regression": everywhere},
        ],
        "runs": [
            {"network": n, "places": places, "seed": seed, "column": column, "accuracy": found}
            for n in NETWORKS
            for places in (HALF, ALL)
            for seed in range(3)
            for column in (0, 12)
            for found in [(new[n] if (column, places) == (12, HALF) else 70.0) + 0.1 * seed]
        ],
    }


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}
    # An MLP that was shown all places and has not learnt says nothing of what that takes.
    found = verdicts(question, made_up(everywhere=75.0))
    assert {name for name, verdict in found.items() if verdict != "holds"} == {"data"}
    assert found["data"] == "inconclusive"


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("mlp", {MLP: 30.0}),
        ("pooled", {POOLED: 60.0}),
        ("reduction", {FLATTEN: 90.0}),
        ("data", {POOLED: 60.0}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    assert verdicts(question, made_up(**spoilt))[claim] == "fails"
