"""Runs of one's own model, data, loss, rule and metrics: never found in place of another."""

import dataclasses
import json
import re
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from cnnlab import nn
from cnnlab.config import ConfigError, build, compose, load_predictor, load_run
from cnnlab.data import ArraySplit, from_arrays

from .own_parts import Net, arrays, brier

TABLE = {"scale": 1.0}


def tabled(logits, target):
    return TABLE["scale"] * brier(logits, target)


CONFIG = ("norm=none", "batch_size=8", "steps=2", "progress=false", "log_every.steps=1")


@pytest.fixture
def lab_of(tmp_path):
    """`lab_of(**parts)`: an experiment of one's own parts, under the test's folder."""
    cfg = compose([*CONFIG, f"output={tmp_path / 'outputs'}"])
    parts = {"model": Net(), "data": arrays(), "loss": brier, "optimizer": optax.sgd(0.1)}
    return lambda **own: build(cfg, **{**parts, **own})


def test_what_was_built_is_what_runs(lab_of, monkeypatch):
    """A value that the loss reads is changed between the two: no result under the wrong key."""
    lab = lab_of(loss=tabled)
    monkeypatch.setitem(TABLE, "scale", 3.0)
    with pytest.raises(ConfigError, match=r"^loss: what it is made of has changed"):
        lab.run()
    other = lab_of()
    other.loss = tabled
    before = other.directory.path
    monkeypatch.setitem(TABLE, "scale", 4.0)
    other.place.forget()
    assert other.directory.path != before


def test_runs_of_ones_own_parts(lab_of):
    lab = lab_of()
    first = lab.run()
    again = lab_of()
    assert again.directory.complete() and again.run() == first
    assert first["parameters"] == 24
    # Another model in its place, or another rule: never the result that is there.
    again.model = other = Net(1, width=4)
    assert not again.directory.complete()
    assert lab_of(model=other).directory.path != again.directory.path != lab.directory.path
    replaced = dataclasses.replace(lab, optimizer=optax.sgd(0.2))
    assert not replaced.directory.complete()
    for name, part in {"loss": tabled, "settings": dataclasses.replace(lab.settings, steps=3),
                       "key": jr.key(7)}.items():  # fmt: skip
        assert not dataclasses.replace(lab, **{name: part}).directory.complete()
    forced = dataclasses.replace(lab, settings=dataclasses.replace(lab.settings, force=True))
    assert forced.directory.path == lab.directory.path
    # Of metrics, too: what is measured by them is kept as the best.
    far = {"worst": lambda answers, labels: answers[np.arange(len(labels)), labels].min()}
    with_far = lab_of(metrics=far)
    with_far.model = other
    measured = with_far.run()
    assert measured["parameters"] == 48
    assert 0 < measured["test_worst"] < 1 and "test_accuracy" not in measured
    with pytest.raises(ConfigError, match=r"^data: this experiment's batches are of the data set"):
        _ = dataclasses.replace(lab, data=from_arrays(arrays())).directory
    # The loss is what was trained with, and no config describes such a run.
    steps = [record["loss"] for record in lines(lab)]
    expected = first_loss(lab)
    np.testing.assert_allclose(steps[0], expected, rtol=1e-5)
    for load in (load_run, load_predictor):
        says = r"^run: .*: given: this run's model, data, loss.* lab\.evaluate\(\), lab\.predictor"
        with pytest.raises(ConfigError, match=says):
            load(lab.directory.path)
    assert lab.trained()[2] == 2


def lines(lab):
    text = lab.directory.metrics.read_text().splitlines()
    return [record for record in map(json.loads, text) if record["kind"] == "train"]


def first_loss(lab):
    """Of the first batch, by hand."""
    order = next(iter(lab.train_loader.handles(0)))
    batch = lab.train_loader.fetch(lab.train_loader.resident, order)
    image = (np.asarray(batch.image, np.float32) - lab.data.mean) / lab.data.std
    target = np.eye(3)[np.asarray(batch.label)]
    return float(brier(Net()(jnp.asarray(image)), target).mean())


def test_arrays_are_copied(lab_of):
    x, y = arrays()
    lab = lab_of(data=(x, y))
    x[:] = 0
    assert lab.data.train.image.any()
    assert lab_of(data=(x, y)).directory.path != lab.directory.path
    assert isinstance(lab.data.val, ArraySplit) and len(lab.data.val) > 0


def test_parts_that_do_not_fit(lab_of):
    for parts, says in (
        ({"model": brier}, r"^model: expected an Equinox module"),
        ({"model": nn.Linear(16, 3, key=jr.key(0))}, r"^model: inputs of shape \(2, 4, 4, 1\): "),
        (
            {"model": nn.Conv2d(1, 3, 3, key=jr.key(0))},
            r"^model: expected scores of shape \(2, 3\)",
        ),
        ({"loss": 3}, "^loss: expected a function"),
        ({"metrics": ["accuracy"]}, "^metrics: expected functions of answers and labels by name"),
        ({"optimizer": "adam"}, "^optimizer: expected one of optax, got 'str'"),
        ({"data": np.zeros(3)}, "^data: expected images and their labels: "),
        ({"data": {"test": arrays()}}, "^data: expected train, and maybe"),
        ({"name": ""}, "^name: expected a text"),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            lab_of(**parts)
        assert "\n" not in str(caught.value)


def test_runs_of_a_config_alone_stay_where_they_were(tmp_path):
    """Whatever keys come: one that changes a name here belongs into `naming.SINCE`."""
    given = ["data=fake", "data.shape=[8,8,1]", "backbone.plan=[4]", "norm=none"]
    name = lambda *more: build(compose([*given, f"output={tmp_path}", *more])).directory.path.name
    assert name() == "6fd0cf35b4-s0"
    assert name("loss.class_weights=balanced") != name("metrics=[top5_accuracy]") != name()


def blocks():
    """The examples of the page on what is one's own."""
    page = Path(__file__).parents[2] / "docs" / "extending.md"
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


def test_the_examples_of_the_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, tuned = [text for text in blocks() if "cnnlab.build(" in text]
    defined = blocks()[-1].partition("fitted = ")[0]
    space = {"__name__": "notebook"}
    exec(defined + run.replace("steps=200", "steps=2"), space)
    assert space["result"]["steps"] == space["step"] == 2
    exec(tuned.replace("steps=50", "steps=2"), space)
    lab, tuned = space["lab"], space["tuned"]
    assert space["evaluation"].loss == space["result"]["test_loss"]
    # The answer of one example is that of the evaluation; what was frozen stayed, the head did not.
    answers = lab.evaluate("train", "best").answers
    image = lab.data.train.image[5]
    np.testing.assert_allclose(lab.predictor("best")(image), answers[5], rtol=1e-5)
    before, after = space["model"], tuned.trained()[0]
    np.testing.assert_array_equal(after.conv.weight, before.conv.weight)
    assert (after.linear.weight != before.linear.weight).any()


def test_a_flax_module_by_the_adapter_of_the_documentation(lab_of):
    linen = pytest.importorskip("flax.linen", reason="Flax is not a dependency")
    [adapter] = [text for text in blocks() if "class Flax" in text]
    space = {"eqx": eqx, "__name__": "notebook"}
    exec(adapter, space)

    class Plain(linen.Module):
        width: int = 2

        @linen.compact
        def __call__(self, x):
            x = linen.relu(linen.Conv(self.width, (3, 3))(x))
            return linen.Dense(3)(x.mean((-3, -2)))

    make = lambda width: space["Flax"](Plain(width), jnp.zeros((1, 4, 4, 1)), key=jr.key(0))
    first = lab_of(model=make(2)).run()
    assert first["parameters"] == 29
    assert lab_of(model=make(2)).run() == first
    assert lab_of(model=make(3)).run()["parameters"] == 42
