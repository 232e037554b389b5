"""The question `shifts`: a tiny scale, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.shifts import POOLS, question

from cnnlab.lab import Records, pack


def test_tiny(tiny):
    result = tiny(
        "shifts", "data=fake", "data.shape=[8,8,1]", "data.train_size=64", "data.test_size=32",
        "plan=[4,M,6]", "shifts=[1,2]", "seeds=1", "most_seeds=1",
        "limit_train=null", "limit_eval=32", "steps=2", "batch_size=16",
    )  # fmt: skip
    rows = Records(result["data"]["networks"])
    assert len(rows) == 4 * 2 * 3 and not any(rows.where(pool="polyphase")["changed"])


def made_up(polyphase=0, accuracy=0.9, **changed):
    """Of 1,000 answers, so many changed by each network."""
    changes = {"max": 5, "stride": 50, "blur": 3, **changed}
    rows = []
    for seed in range(3):
        for pool in POOLS:
            right = 900 - 2 * seed if pool != "blur" else 1000 * accuracy
            plain = {"pool": pool, "seed": seed, "when": "after", "images": 1000}
            flags = pack(np.arange(1000) < right)
            rows.append({**plain, "shift": 0, "changed": 0, "right": flags, "accuracy": right / 10})
            lost = changes[pool] - seed if pool in changes else polyphase
            rows.append({**plain, "shift": 1, "changed": lost})
    return {"networks": rows, "baseline": 80.0}


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("pixel", {"max": 40}),
        ("maxima", {"stride": 2}),
        ("blurred", {"blur": 20}),
        ("polyphase", {"polyphase": 1}),
        ("price_of_blur", {"accuracy": 0.8}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    assert verdicts(question, made_up(**spoilt))[claim] == "fails"
