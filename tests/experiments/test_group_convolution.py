"""The question `group_convolution`: a tiny scale, its images, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.group_convolution import ARMS, NARROW, P4, TURNED, UPRIGHT, question
from experiments.group_convolution.networks import in_all_turns, turned

from cnnlab.config import ConfigError
from cnnlab.data import fake
from cnnlab.lab import pack


def test_tiny(tiny):
    result = tiny(
        "group_convolution", "data=fake", "data.shape=[6,6,1]", "data.train_size=64",
        "data.test_size=32", "widths=[1,2]", "layers=1", "seeds=1", "most_seeds=1",
        "limit_train=null", "limit_eval=32", "steps=1", "batch_size=16",
    )  # fmt: skip
    data = result["data"]
    assert len(data["errors"]) == 3 * 8 and len(data["networks"]) == 4 * 2 * 2
    verdicts = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    exact = ("equivariant", "only_these", "invariant")
    assert [verdicts[name] for name in exact] == ["holds"] * 3
    # As many multiply-adds, or about as many weights: 9 a tap and pair, two a norm, 3 a class.
    assert data["multiply_adds"][P4] - data["multiply_adds"][UPRIGHT] == 2 * 10 - 8 * 10
    assert data["parameters"][P4] == 9 * (1 + 4 * 2) + 2 * (1 + 2) + 3 * 10
    assert data["parameters"][NARROW] == 9 * (2 + 2 * 4) + 2 * (2 + 4) + 5 * 10


def test_images_that_are_not_square_are_refused(tiny):
    with pytest.raises(ConfigError, match=r"^data: expected square images, got \(6, 4, 1\)$"):
        tiny("group_convolution", "data=fake", "data.shape=[6,4,1]")


def test_every_image_is_turned_as_it_should_be():
    split = fake(shape=(4, 4, 1), train_size=8, test_size=1).train
    images = np.asarray(split.in_memory().image)
    all_of_them = in_all_turns(split).in_memory()
    for n in range(4):
        np.testing.assert_array_equal(all_of_them.image[n::4], np.rot90(images, n, (1, 2)))
        np.testing.assert_array_equal(all_of_them.label[n::4], split.in_memory().label)
    found, counted = turned(images), np.zeros(4, int)
    for image, moved in zip(images, found, strict=True):
        [n] = [n for n in range(4) if (np.rot90(image, n) == moved).all()]
        counted[n] += 1
    assert (counted > 0).sum() > 1 and (found == turned(images)).all()


def made_up(error=1e-7, other=0.5, changed=0, **on_turned):
    """Of 1,000 images so many right when turned; all 850 of upright ones."""
    right = {P4: 850, UPRIGHT: 300, TURNED: 820, NARROW: 800, **on_turned}
    sizes = {"plain": 1, "p4": 4, "p4m": 8}
    return {
        "errors": [
            {"layer": layer, "seed": 0, "element": e, "error": error if e < of else other}
            for layer, of in sizes.items()
            for e in range(8)
        ],
        "networks": [
            {
                "arm": arm, "seed": seed, "when": "after", "images": images,
                "right": pack(np.arange(1000) < n), "accuracy": n / 10, "changed": changed,
                "of": 1000,
            }
            for arm in ARMS
            for seed in range(3)
            for images, n in (("upright", 850 - seed), ("turned", right[arm] - seed))
        ],
        "baselines": {"upright": 80.0, "turned": 60.0},
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("equivariant", {"error": 1e-3}),
        ("only_these", {"other": 1e-7}),
        ("invariant", {"changed": 1}),
        ("translations_only", {UPRIGHT: 849}),
        ("as_much_arithmetic", {TURNED: 920}),
        ("as_many_weights", {NARROW: 920}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    assert verdicts(question, made_up(**spoilt))[claim] == "fails"


def test_what_has_not_learnt_says_nothing(verdicts):
    found = verdicts(question, made_up(**{P4: 500}))
    assert found["as_many_weights"] == "inconclusive" and found["invariant"] == "holds"
