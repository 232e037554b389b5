"""jit, pmap and shard_map give the same loss curve on one and two devices."""

import jax
import numpy as np
import pytest

from cnnlab.config import build, compose
from cnnlab.train.step import make_train_step

BASE = [
    "data=fake",
    "data.shape=[8,8,1]",
    "data.train_size=256",
    "data.test_size=64",
    "backbone.plan=[8,M]",
    "backbone.dropout=0.1",
    "augment=[crop,mixup]",
    "batch_size=32",
    "steps=20",
    "optimizer=sgd",
    "optimizer.lr=0.05",
    "average=0.9",
]


def curve(runtime, devices):
    overrides = [f"runtime={runtime}"]
    if runtime != "jit":
        overrides.append(f"runtime.devices={devices}")
    experiment = build(compose(BASE + overrides))
    state = experiment.initial_state()
    loader, run = experiment.train_loader, experiment.runtime
    assert len(run.devices) == devices
    step = make_train_step(experiment.optimizer, average_decay=experiment.settings.average)
    compiled = run.compile(step, experiment.prepare, loader.fetch, state)
    arrays, resident = run.place(state), run.replicate(loader.resident)
    losses = []
    for _, handle in zip(range(20), loader.handles(), strict=False):
        arrays, metrics = compiled(arrays, resident, handle)
        losses.append({k: float(v) for k, v in metrics.items()})
    final = run.fetch(arrays, state)
    evaluation = experiment.evaluator(experiment.data.test)(*final.averaged())
    return losses, final, evaluation


@pytest.fixture(scope="module")
def reference():
    return curve("jit", 1)


@pytest.mark.parametrize("runtime", ["pmap", "shard"])
def test_two_devices_give_the_curve_of_one(runtime, reference):
    assert len(jax.devices()) >= 2
    expected, expected_state, expected_evaluation = reference
    losses, state, evaluation = curve(runtime, 2)
    for name in ("loss", "accuracy", "grad_norm", "update_norm", "param_norm"):
        np.testing.assert_allclose(
            [m[name] for m in losses], [m[name] for m in expected], rtol=1e-5, err_msg=name
        )
    assert int(state.step) == 20
    for a, b in zip(
        jax.tree.leaves(state.averaged()), jax.tree.leaves(expected_state.averaged()), strict=True
    ):
        if hasattr(a, "dtype"):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        evaluation.answers, expected_evaluation.answers, rtol=1e-3, atol=1e-5
    )
    assert losses[0]["loss"] > losses[-1]["loss"]


def test_batch_that_devices_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"^batch_size: expected a multiple of the 2 devices"):
        build(compose([*BASE, "runtime=shard", "runtime.devices=2", "batch_size=33"]))


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"^runtime\.devices: expected at most"):
        build(compose([*BASE, "runtime=pmap", "runtime.devices=64"]))
