"""The question `regular_blocks`: a tiny scale, its patterns, and its judge on made-up data."""

import jax
import numpy as np
import pytest
from experiments.regular_blocks import (
    CONSTANT,
    HALVED,
    REGULAR,
    multiply_adds,
    patterns,
    plan,
    question,
)

from cnnlab import nn
from cnnlab.lab import pack


def test_tiny(tiny):
    result = tiny(
        "regular_blocks", "data=fake", "data.shape=[8,8,1]", "data.train_size=64",
        "data.test_size=32", "width=4", "random=1", "seeds=1", "most_seeds=1",
        "limit_train=null", "limit_eval=32", "steps=1", "batch_size=16",
    )  # fmt: skip
    assert len(result["data"]["networks"]) == len(result["data"]["patterns"]) == 4


def test_patterns_cost_the_same():
    found = patterns((28, 28, 1), 9, 2, 3, seed=0)
    assert found[REGULAR] == [9, 9, 18, 18, 36, 36] and len(set(found[CONSTANT])) == 1
    assert found[HALVED] == sorted(found[HALVED], reverse=True)
    costs = [sum(multiply_adds(widths, (28, 28, 1), 2)) for widths in found.values()]
    np.testing.assert_allclose(costs, costs[0], rtol=0.05)
    assert plan([1, 2, 3, 4], 2) == [1, 2, "M", 3, 4]
    # With an odd size: 5 x 5, then 3 x 3 pixels.
    layer = nn.Conv2d(2, 3, 3, kernel_init="zeros", key=jax.random.key(0))
    assert multiply_adds([2, 3], (5, 5, 1), 1)[1] == layer.multiply_adds((3, 3, 2))


def made_up(more=0, **right):
    right = {REGULAR: 860, CONSTANT: 840, HALVED: 820, "random 1": 855, **right}
    costs = {REGULAR: [100, 400, 200, 400, 200, 400 + more], CONSTANT: [300] * 5 + [250]}
    return {
        "patterns": [
            {
                "pattern": p, "widths": [1] * 6, "parameters": 10,
                "layers": costs.get(p, costs[CONSTANT]),
            }
            for p in right
        ],
        "networks": [
            {
                "pattern": p, "seed": seed, "accuracy": n / 10,
                "right": pack(np.arange(1000) < n - seed),
            }
            for p, n in right.items()
            for seed in range(3)
        ],
        "baseline": 80.0,
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("even", {"more": 10}),
        ("simple", {"random 1": 950}),
        ("doubled", {CONSTANT: 950}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert found.pop(claim) == "fails" and set(found.values()) == {"holds"}
    assert verdicts(question, made_up(more=400))["equal"] == "fails"
