"""The question `localising`: a tiny scale, its inputs and measures, and its judge on made-up
data."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from experiments.localising import INPUTS, first_layer, question
from experiments.localising.fields import alike, concentration, covered, local, moved
from experiments.localising.ring import GAUSSIAN, ROTATED, SHARP, task

from cnnlab.config import ConfigError, build_model, compose

TINY = (
    "data=fake", "data.shape=[6,6,1]", "data.train_size=128", "data.test_size=32", "pixels=40",
    "units=3", "steps=2", "batch_size=4", "seeds=1", "most_seeds=1", "width=4", "image_steps=1",
)  # fmt: skip


def test_tiny(tiny):
    result = tiny("localising", *TINY)
    assert [row["inputs"] for row in result["data"]["ring"]] == list(INPUTS)
    [images] = result["data"]["images"]
    assert images["spread"][0] != images["spread"][1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["lengths=[6,1]"], "lengths: expected up to pixels / 8 = 5, got"),
        (["batch_size=3"], "batch_size: expected an even number, got 3"),
        (["data.shape=[6,6,3]"], "data: expected images of one channel, got"),
    ],
)
def test_what_does_not_fit(tiny, overrides, message):
    with pytest.raises(ConfigError, match=message):
        tiny("localising", *TINY, *overrides)


@pytest.mark.parametrize("inputs", INPUTS)
def test_inputs_have_one_covariance_and_those_with_edges_other_moments(inputs):
    of = lambda inputs: task(inputs, 24, (3.0, 0.1), 3.0, seed=0)
    x, y = of(inputs).draw(jr.key(0), 100_000)
    plain = np.asarray(x) @ of(inputs).rotation.T
    for label, root in zip((1, -1), of(GAUSSIAN).roots, strict=True):
        covariance = np.cov(plain[np.asarray(y) == label].T)
        np.testing.assert_allclose(covariance, root @ root.T, atol=0.03)
        assert root[0] @ root[0] == pytest.approx(1, abs=1e-5)
    fourth = np.mean(plain**4)
    assert fourth == pytest.approx(3, abs=0.1) if inputs == GAUSSIAN else fourth < 1.5


def test_concentration():
    one, equal = np.eye(50)[:1], np.ones((1, 50))
    normal = np.random.default_rng(0).standard_normal((200, 500))
    assert concentration(one) == 50 and concentration(-3 * equal) == pytest.approx(1)
    assert concentration(normal).mean() == pytest.approx(3, abs=0.1)
    assert local(one).all() and not local(equal).any() and not local(normal).any()


def test_fields_that_cover_the_ring_and_are_one_field_moved():
    bump = np.exp(-np.square(np.arange(-20, 20) / 3))
    fields = np.stack([bump, -2 * np.roll(bump, 17), np.roll(bump, 30)])
    assert alike(fields) == pytest.approx(1) and alike(fields[:1]) == 0
    assert alike(np.random.default_rng(0).standard_normal((50, 400))) < 0.3
    # Half the height of exp(-(x / 3)^2) is at 2.5: five pixels each.
    assert covered(fields) == 15 / 40 and covered(fields[:0]) == 0


def test_fields_of_images_and_themselves_moved():
    stripes = np.stack([np.tile([1.0, -1.0], (6, 3)), np.tile([[1.0], [-1.0]], (3, 6))])
    assert moved(stripes, 2) == pytest.approx(1) and moved(stripes, 1) == pytest.approx(0)
    assert moved(np.ones((1, 4, 4)), 1) == 1
    cfg = compose(["backbone=mlp", "backbone.widths=[5]"])
    model, state = build_model(cfg, (3, 4, 1), 10, key=jr.key(0))
    fields = first_layer(model, 3, 4, 1)
    image = jnp.zeros((3, 4, 1)).at[1, 2].set(1)
    out, _ = model.backbone(image, state)
    np.testing.assert_allclose(np.maximum(fields[:, 1, 2], 0), out, atol=1e-6)


def made_up(**changes):
    """Local fields from inputs with edges alone, in their own basis."""
    times = {SHARP: 4.0, GAUSSIAN: 0.9, ROTATED: 4.0, "given": 1.0, **changes}
    ring = [
        {
            "inputs": inputs, "seed": seed, "before": 3.0, "local": 0.5, "spread": 4.0,
            "after": (3.0 + 0.03 * seed) * times["given" if inputs == ROTATED else inputs],
            "back": (3.0 + 0.03 * seed) * times[inputs], "accuracy": 99.0, "fields": [[1.0]],
            "covered": changes.get("covered", 0.95) + seed / 1000,
            "alike": changes.get("alike", 0.98) + seed / 1000,
        }
        for inputs in INPUTS
        for seed in range(3)
    ]  # fmt: skip
    images = [
        {
            "seed": seed, "spread": [260.0, changes.get("spread", 240.0) + seed], "accuracy": 88.0,
            "near": [0.0, changes.get("near", 0.3) + seed / 100], "far": [0.0, 0.1],
        }
        for seed in range(3)
    ]  # fmt: skip
    baselines = {"ring": 0.5, "images": 0.8}
    return {"ring": ring, "images": images, "pixels": 100, "baselines": baselines}


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("localised", {SHARP: 1.5}),
        ("tiling", {"covered": 0.5}),
        ("shared", {"alike": 0.4}),
        ("gaussian", {GAUSSIAN: 2.0}),
        ("rotated", {"given": 3.0}),
        ("rotated", {ROTATED: 1.0}),
        ("spread", {"spread": 20.0}),
        ("nearby", {"near": -0.3}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert [name for name, verdict in found.items() if verdict == "fails"] == [claim]
