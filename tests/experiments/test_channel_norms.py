"""The question `channel_norms`: the nets, the images, a tiny scale, verdicts on made-up data."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from experiments.channel_norms import convolutional, fully_connected, gaussian, question, real

from cnnlab import data
from cnnlab.config import ConfigError, compose
from cnnlab.lab import answer

TINY = (
    "data=fake",
    "data.shape=[8,8,1]",
    "data.train_size=40",
    "sizes=[32,64]",
    "seeds=2",
    "hidden=8",
    "epochs=1",
    "least_steps=2",
    "test_size=40",
)


def test_tiny(tiny):
    found = tiny("channel_norms", *TINY, "rates=[0.5]")["data"]
    assert [(row["inputs"], row["net"]) for row in found["rates"]] == [
        (inputs, net) for inputs in ("gaussian", "real") for net in ("conv", "fc")
    ]
    assert [(row["seed"], row["n"]) for row in found["accuracies"][:4]] == [
        (seed, n) for seed in (0, 1) for n in (32, 64)
    ]
    assert len(found["accuracies"]) == 16


class Unstable:
    """Learners of which, at a high rate, one seed diverges on the smallest of the training sets."""

    def __init__(self, make, plan, seeds, data):
        self.high, self.tried = plan.step > 1, [[] for _ in seeds]

    def __call__(self, sizes):
        for i, (tried, n) in enumerate(zip(self.tried, sizes, strict=True)):
            diverges = self.high and i == 1 and n == 32
            tried.append((n, 0.0 if diverges else 0.95 if self.high else 0.9, 1.0))


def test_a_rate_is_one_with_which_no_training_diverges(tiny, monkeypatch):
    monkeypatch.setattr("experiments.channel_norms.Learners", Unstable)
    found = tiny("channel_norms", *TINY, "rates=[0.5,2.0]")["data"]
    assert [row["rate"] for row in found["rates"]] == [0.5] * 4


def test_the_nets_are_the_papers():
    x = jr.normal(jr.key(0), (2, 32, 32, 3))
    conv, dense = convolutional(10, jr.key(1)), fully_connected(16, jr.key(2))
    size = lambda net: sum(leaf.size for leaf in jax.tree.leaves(net))
    assert size(conv) == (27 * 10 + 10) + (90 + 1)
    assert size(dense) == (3072 * 16 + 16) + (16 + 1)
    flat = x.reshape(2, -1)
    kernel, bias = dense.hidden.weight, dense.hidden.bias
    squares = (jnp.square(flat @ kernel + bias) - 1) / math.sqrt(2)
    want = squares @ dense.readout.weight[:, 0] + dense.readout.bias[0]
    np.testing.assert_allclose(dense(x), want, rtol=1e-4)
    # The mean over positions: what a shift moves within the image is the same.
    inside = jnp.zeros_like(x).at[:, 8:20, 8:20].set(x[:, :12, :12])
    np.testing.assert_allclose(conv(inside), conv(jnp.roll(inside, 5, 1)), rtol=1e-4)


def test_labels_say_which_norm_is_larger():
    split = gaussian(0, "train", 50)
    norms = np.square(split.image.astype(np.float64)).sum((1, 2))
    np.testing.assert_array_equal(split.label, norms[:, 0] > norms[:, 1])
    assert 10 < split.label.sum() < 40
    assert not np.array_equal(split.image, gaussian(0, "test", 50).image)


def test_real_images_are_three_of_one_channel_or_one_of_three():
    one = data.fake(shape=(28, 28, 1), train_size=20)
    split = real(one, 0, "train", 5)
    assert split.image.shape == (5, 32, 32, 3)
    assert not split.image[:, :2].any() and not split.image[:, :, 30:].any()
    known = (one.train.take(np.arange(len(one.train)))[0] - one.mean) / one.std
    for channel in np.moveaxis(split.image[:, 2:30, 2:30], -1, 1).reshape(15, 28, 28):
        assert np.isclose(known[..., 0], channel, atol=1e-5).all((1, 2)).any()
    three = data.fake(shape=(32, 32, 3), train_size=20)
    known = (three.train.take(np.arange(len(three.train)))[0] - three.mean) / three.std
    for image in real(three, 0, "train", 5).image:
        assert np.isclose(known, image, atol=1e-5).all((1, 2, 3)).any()


def accuracies(**ahead):
    return [
        {"inputs": inputs, "net": net, "n": n, "seed": seed, "training": 1.0,
         "test": 0.6 + 0.01 * seed + (by + 0.001 * seed * (net == "conv")) * (net == "conv")}
        for inputs, by in ahead.items() for net in ("conv", "fc") for n in (100, 200)
        for seed in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("real", "verdict"), [(0.2, "holds"), (-0.2, "fails"), (-0.001, "inconclusive")]
)
def test_the_judge(verdicts, real, verdict):
    found = verdicts(question, {"accuracies": accuracies(gaussian=0.3, real=real)})
    assert found == {"gaussian_images": "holds", "real_images": verdict}


def test_a_training_that_diverged_says_nothing(verdicts):
    """It has none of its own examples right."""
    runs = accuracies(gaussian=0.3, real=0.3)
    next(run for run in runs if run["inputs"] == "real").update(test=0.0, training=0.0)
    found = verdicts(question, {"accuracies": runs})
    assert found == {"gaussian_images": "holds", "real_images": "inconclusive"}


def test_images_that_do_not_fit_are_refused(tmp_path):
    settings = ["data=fake", "data.shape=[40,8,1]", f"output={tmp_path}", "progress=false"]
    with pytest.raises(ConfigError, match=r"^data: expected images of at most 32x32, 1 or 3 chan"):
        answer(question, compose(settings, "channel_norms"))
