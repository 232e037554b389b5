"""The question `transfer`: a tiny scale, the draw of examples, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.transfer import MODES, question, repeated

from cnnlab.config import ConfigError, compose
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import answer, pack

# Mean accuracies at 1, 10 and 100 examples a class, in %.
HOLDING = {
    "frozen": (70, 80, 85),
    "tuned": (72, 85, 93),
    "scratch": (50, 75, 90),
    "random": (40, 60, 70),
}


def made_up(percent=HOLDING, n=3, linear=70.0):
    """Data with about these mean accuracies, on 1,000 test images."""
    sizes = (1, 10, 100)
    runs = [
        {
            "seed": seed, "examples": count, "mode": mode, "accuracy": mean,
            "right": pack(np.arange(1000) < 10 * mean + (i + 1) * seed),
        }
        for seed in range(n)
        for i, mode in enumerate(MODES)
        for count, mean in zip(sizes, percent[mode], strict=True)
    ]  # fmt: skip
    backbones = [{"seed": seed, "accuracy": 0.95} for seed in range(n)]
    pixels = [
        {"seed": s, "examples": count, "accuracy": linear} for s in range(n) for count in sizes
    ]
    return {
        "few": 10, "runs": runs, "backbones": backbones, "baseline": 90.0, "pixels": pixels,
    }  # fmt: skip


def test_tiny(tiny):
    result = tiny(
        "transfer", "data=fake", "data.num_classes=4", "data.train_size=96", "data.test_size=32",
        "source=[3,0]", "target=[1,2]", "examples=[1,4]", "plan=[4,M,6]", "seeds=2", "most_seeds=2",
        "limit_train=null", "source_steps=3", "steps=2", "batch_size=8",
    )  # fmt: skip
    data = result["data"]
    assert data["source"] == ["class 3", "class 0"] and data["target"] == ["class 1", "class 2"]
    assert [(run["seed"], run["examples"], run["mode"]) for run in data["runs"]] == [
        (seed, n, mode) for seed in (0, 1) for n in (1, 4) for mode in MODES
    ]
    assert [run["seed"] for run in data["backbones"]] == [0, 1]
    assert [(run["seed"], run["examples"]) for run in data["pixels"]] == [
        (seed, n) for seed in (0, 1) for n in (1, 4)
    ]


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}
    for nothing in (made_up(n=1), made_up(linear=92.0)):  # one seed; networks that have not learnt
        assert set(verdicts(question, nothing).values()) == {"inconclusive"}


@pytest.mark.parametrize(
    ("claim", "mode", "percent"),
    [
        ("few", "scratch", (50, 90, 90)),
        ("encoder", "random", (40, 60, 88)),
        ("finetune", "tuned", (72, 70, 93)),
        ("shrinks", "scratch", (68, 75, 72)),
        ("many", "tuned", (72, 85, 80)),
    ],
)
def test_the_judge_where_one_fails(claim, mode, percent, verdicts):
    assert verdicts(question, made_up({**HOLDING, mode: percent}))[claim] == "fails"


def test_few_examples_are_repeated_and_nested():
    label = np.tile(np.arange(3), 10)
    train = ArraySplit(np.arange(30, dtype=np.float32).reshape(30, 1, 1, 1), label)
    small, large = (repeated(train, n, 6, 3, seed=4) for n in (2, 5))
    for split, n in ((small, 2), (large, 5)):
        assert len(split) == 18
        for c in range(3):
            images = split.image[split.label == c].ravel()
            assert len(images) == 6 and len(set(images)) == n
            assert all(label[int(i)] == c for i in images)
    assert set(small.image.ravel()) < set(large.image.ravel())
    assert set(repeated(train, 2, 6, 3, seed=5).image.ravel()) != set(small.image.ravel())


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("examples=[10,1]", "examples"),
        ("examples=[50,100]", "examples"),
        ("examples=[1,1000]", "examples"),
        ("steps=0", "steps"),
        ("target=[0,1]", "target"),
        ("target=[1,10]", "target"),
    ],
)
def test_bad_settings_are_refused(override, key, tmp_path):
    overrides = ["data=fake", "data.num_classes=10", f"output={tmp_path}", override]
    with pytest.raises(ConfigError, match=f"^{key}: expected"):
        answer(question, compose(overrides, "transfer"))
