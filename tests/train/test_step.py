"""The step: its loss against NumPy, precision, moving average, determinism of preparation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.data import augment
from cnnlab.data.batches import Batch
from cnnlab.train.step import cast, make_judge, make_prepare, make_train_step
from cnnlab.train.tasks import Classification


def first_batch(experiment):
    loader = experiment.train_loader
    raw = loader.fetch(loader.resident, next(loader.handles()))
    return experiment.prepare(raw, experiment.key, jnp.asarray(0))


def jit_step(experiment, **options):
    return eqx.filter_jit(make_train_step(experiment.optimizer, **options))


def test_smoothed_targets(tiny):
    batch = first_batch(tiny("label_smoothing=0.2"))
    np.testing.assert_allclose(np.sort(batch.label, -1), [[0.05, 0.05, 0.05, 0.85]] * 24, rtol=1e-6)


def test_loss_and_accuracy_are_those_of_the_formula(tiny):
    experiment = tiny("label_smoothing=0.1", "norm=none")
    state, batch = experiment.initial_state(), first_batch(experiment)
    logits, _ = eqx.filter_jit(state.model)(batch.image, state.model_state)
    z = np.asarray(logits, np.float64)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    new, metrics = jit_step(experiment)(state, batch)
    target = np.asarray(batch.label, np.float64)
    np.testing.assert_allclose(metrics["loss"], -(target * log_p).sum(-1).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (z.argmax(-1) == target.argmax(-1)).mean())
    moved = jax.tree.map(
        lambda a, b: a - b,
        eqx.filter(new.model, eqx.is_inexact_array),
        eqx.filter(state.model, eqx.is_inexact_array),
    )
    total = sum(float((np.asarray(m, np.float64) ** 2).sum()) for m in jax.tree.leaves(moved))
    np.testing.assert_allclose(metrics["update_norm"], np.sqrt(total), rtol=1e-4)
    assert int(new.step) == 1


def test_bfloat16_computes_low_and_keeps_parameters_float32(tiny):
    experiment = tiny()
    state, batch = experiment.initial_state(), first_batch(experiment)
    seen = []

    class Spy(eqx.Module):
        inner: eqx.Module

        def __call__(self, x, state, *, key=None):
            seen.append((x.dtype, jax.tree.leaves(eqx.filter(self.inner, eqx.is_array))[0].dtype))
            return self.inner(x, state, key=key)

    spied = eqx.tree_at(lambda s: s.model, state, Spy(state.model))
    spied = eqx.tree_at(
        lambda s: s.opt_state,
        spied,
        experiment.optimizer.init(eqx.filter(spied.model, eqx.is_inexact_array)),
    )
    new, metrics = jit_step(experiment, compute_dtype=jnp.bfloat16)(spied, batch)
    assert seen == [(jnp.bfloat16, jnp.bfloat16)]
    arrays = jax.tree.leaves(eqx.filter((new.model, new.model_state), eqx.is_inexact_array))
    assert {a.dtype for a in arrays} == {jnp.dtype("float32")}
    assert metrics["loss"].dtype == jnp.float32
    _, exact = jit_step(experiment)(state, batch)
    np.testing.assert_allclose(metrics["loss"], exact["loss"], rtol=0.03)


def test_filters_are_not_narrowed():
    """Their kernels are powers: of decays with 8 bits, a hundred positions back, others."""
    layer = nn.LongConv1d(4, key=jr.key(0))
    narrow = cast(layer, jnp.bfloat16)
    assert narrow.skip.dtype == jnp.bfloat16
    x = jr.normal(jr.key(1), (2, 128, 4))
    found, wanted = narrow(x.astype(jnp.bfloat16)), layer(x)
    assert found.dtype == jnp.bfloat16
    worst = jnp.abs(found.astype(jnp.float32) - wanted).max() / jnp.abs(wanted).max()
    assert worst < 0.02


def test_moving_average(tiny):
    experiment = tiny("average=0.99")
    state, batch = experiment.initial_state(), first_batch(experiment)
    step = jit_step(experiment, average_decay=0.99)

    def weight(model):
        return np.asarray(model.backbone.stages[0].layers[0].weight, np.float64)

    expected = weight(state.model)
    for t in range(3):
        state, _ = step(state, batch)
        d = min(0.99, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * weight(state.model)
    np.testing.assert_allclose(weight(state.averaged()[0]), expected, rtol=1e-5, atol=1e-7)
    assert not np.allclose(weight(state.averaged()[0]), weight(state.model))


def test_preparation_is_a_function_of_key_and_step(tiny):
    experiment = tiny()
    loader = experiment.train_loader
    raw = loader.fetch(loader.resident, next(loader.handles()))
    a, b, c = (experiment.prepare(raw, jr.key(0), jnp.asarray(t)) for t in (3, 3, 4))
    np.testing.assert_array_equal(a.image, b.image)
    assert not np.array_equal(a.image, c.image)


def test_judge_averages_the_views_in_inference_mode(tiny):
    experiment = tiny("backbone.dropout=0.5")
    state, data = experiment.initial_state(), experiment.data
    image = jnp.asarray(data.test.take(np.arange(5))[0])
    raw = Batch(image, jnp.zeros(5, jnp.int32), jnp.arange(5))
    judge = make_judge(mean=data.mean, std=data.std, views="flip")
    got = judge(state.model, state.model_state, raw)
    model = eqx.nn.inference_mode(state.model)
    views = [image, image[:, :, ::-1]]
    logits = [model(augment.normalise(v, data.mean, data.std), state.model_state)[0] for v in views]
    expected = sum(np.asarray(jax.nn.softmax(z)) for z in logits) / 2
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.sum(-1), 1.0, rtol=1e-5)


def test_bad_smoothing():
    with pytest.raises(ValueError, match=r"^label_smoothing: expected a number in"):
        make_prepare(
            mean=np.zeros(1, np.float32),
            std=np.ones(1, np.float32),
            task=Classification(("a", "b")),
            transforms=(),
            label_smoothing=1.0,
            steps_per_epoch=1,
        )
