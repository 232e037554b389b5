"""The question `channel_order`: a tiny scale, its images, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.channel_order import (
    CHANNELS,
    ORDER,
    PIXELS,
    PLAIN,
    permuted,
    question,
    reordered,
    three,
)

from cnnlab.data import fake
from cnnlab.lab import pack


def test_tiny(tiny):
    result = tiny(
        "channel_order", "data=fake", "data.shape=[6,6,1]", "data.train_size=64",
        "data.test_size=32", "plan=[4,M]", "seeds=1", "most_seeds=1", "limit_train=null",
        "limit_eval=32", "steps=1", "batch_size=16", "rates=[0.01]",
    )  # fmt: skip
    assert len(result["data"]["networks"]) == 4
    assert result["data"]["untrained"][0]["difference"] < 1e-5


def test_the_first_channel_is_the_one_of_the_label():
    data = fake(shape=(4, 6, 1), train_size=8, test_size=5)
    made = three(data, seed=0)
    assert made.input_shape == (4, 6, 3) and made.mean.shape == made.std.shape == (3,)
    for name in ("train", "test"):
        before, after = (getattr(d, name).in_memory() for d in (data, made))
        np.testing.assert_array_equal(after.image[..., :1], before.image)
        np.testing.assert_array_equal(after.label, before.label)
        known = {image.tobytes() for image in np.asarray(before.image)[..., 0]}
        others = np.moveaxis(after.image[..., 1:], -1, 1).reshape(-1, 4, 6)
        assert {image.tobytes() for image in others} <= known


def test_the_order_is_another_and_the_same_for_all():
    images = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3)
    channels, pixels = (reordered(images, arm) for arm in (CHANNELS, PIXELS))
    for i, of in enumerate(ORDER):
        np.testing.assert_array_equal(channels[..., i], images[..., of])
    moved = pixels[0].reshape(12, 3)[:, 0] // 3
    assert sorted(moved) == list(range(12)) != moved.tolist()
    np.testing.assert_array_equal(pixels[1] - pixels[0], 36)
    data = three(fake(shape=(4, 4, 1), train_size=8, test_size=5), seed=0)
    assert permuted(data, PLAIN) is data
    changed = permuted(data, PIXELS)
    np.testing.assert_array_equal(changed.test.image, reordered(data.test.image, PIXELS))


def made_up(difference=1e-7, other=200, **right):
    """Of 1,000 test images so many right, by how networks were trained and tested."""
    right = {PLAIN: 850, CHANNELS: 850, PIXELS: 820, **right}
    ways = [(arm, arm, n) for arm, n in right.items()] + [(PLAIN, CHANNELS, other)]
    return {
        "untrained": [{"seed": seed, "difference": difference} for seed in range(3)],
        "networks": [
            {
                "arm": arm, "test": test, "seed": seed, "accuracy": n / 10,
                "right": pack(np.arange(1000) < n - seed),
            }
            for arm, test, n in ways
            for seed in range(3)
        ],
        "baseline": 80.0,
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("layer", {"difference": 1e-3}),
        ("convention", {CHANNELS: 950}),
        ("kept", {"other": 850}),
        ("geometry", {PIXELS: 849}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert found.pop(claim) == "fails" and set(found.values()) == {"holds"}
