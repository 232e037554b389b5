"""The question `hand_made_filters`: a tiny scale, its filters, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.hand_made_filters import (
    ARMS,
    FILTERS,
    HAND_MADE,
    LEARNED,
    RANDOM,
    bank,
    likeness,
    question,
)

from cnnlab.lab import Records, pack


def test_tiny(tiny):
    result = tiny(
        "hand_made_filters", "data=fake", "data.shape=[6,6,1]", "data.train_size=64",
        "data.test_size=32", "plan=[4]", "seeds=1", "most_seeds=1", "limit_train=null",
        "limit_eval=32", "steps=2", "batch_size=16", "rates=[0.01]",
    )  # fmt: skip
    networks = Records(result["data"]["networks"])
    change = {row["arm"]: row["likeness"][1] - row["likeness"][0] for row in networks}
    assert change[HAND_MADE] == change[RANDOM] == 0 and change[LEARNED] != 0
    [found] = networks.where(arm=HAND_MADE)["filters"]
    np.testing.assert_allclose(np.array(found), bank()[:, :, 0], atol=1e-4)


def test_the_bank_is_the_chapters():
    kernels = bank()[:, :, 0]
    assert kernels.shape == (3, 3, FILTERS)
    np.testing.assert_allclose(np.square(kernels).sum((0, 1)), 1)
    np.testing.assert_allclose(kernels[..., 0] * np.sqrt(6), [[1, 0, -1]] * 3)
    np.testing.assert_allclose(kernels[..., 1], kernels[..., 0].T)
    np.testing.assert_allclose(kernels[..., 6] / kernels[0, 0, 6], -np.array(
        [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]))  # fmt: skip
    assert len({tuple(k.round(6).ravel()) for k in np.moveaxis(kernels, -1, 0)}) == FILTERS
    assert likeness(3 * bank()) == pytest.approx(1)
    assert likeness(np.random.default_rng(0).normal(size=(3, 3, 1, 200))) < 0.9


def made_up(after=0.9, **right):
    right = {HAND_MADE: 860, RANDOM: 850, LEARNED: 880, **right}
    return {
        "networks": [
            {
                "arm": arm, "seed": seed, "accuracy": right[arm] / 10, "filters": [],
                "right": pack(np.arange(1000) < right[arm] - seed),
                "likeness": [0.6, after + seed / 100],
            }
            for arm in ARMS
            for seed in range(3)
        ],
        "baseline": 80.0,
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claims", "spoilt"),
    [
        ({"learned"}, {HAND_MADE: 950}),
        ({"training", "design"}, {RANDOM: 950}),
        ({"detectors"}, {"after": 0.4}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claims, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert {claim for claim, verdict in found.items() if verdict == "fails"} == claims


def test_what_has_not_learnt_says_nothing(verdicts):
    assert verdicts(question, made_up(**{RANDOM: 500}))["training"] == "inconclusive"
