"""Positions without a class: a step, the loss and the scores, beside loops over the others."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnlab.data import from_arrays
from cnnlab.data.batches import Batch
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.losses import PerPositionCrossEntropy
from cnnlab.train.scores import METRICS
from cnnlab.train.state import TrainState
from cnnlab.train.step import make_train_step
from cnnlab.train.tasks import task_of

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(6, 3, 4, 2)).astype(np.float32)
LABEL = RANDOM.integers(0, 3, (6, 3, 4), np.uint8)
IGNORED = RANDOM.random(LABEL.shape) < 0.4
IGNORED[2] = True  # a whole map
MAPS = np.where(IGNORED, 255, LABEL).astype(np.uint8)
WEIGHTS = (1.0, 2.0, 3.0)


class Linear(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return x @ self.weight


@pytest.fixture(scope="module")
def data():
    options = {"task": "segmentation", "ignore_label": 255, "val_fraction": 0}
    return from_arrays((IMAGE, MAPS), (IMAGE, MAPS), channels="last", **options)


def softmax(z):
    e = [float(np.exp(np.float64(v))) for v in z]
    return [v / sum(e) for v in e]


def test_they_have_no_class(data):
    assert data.class_names == ("0", "1", "2") and data.num_classes == 3
    np.testing.assert_array_equal(data.train.label, np.where(IGNORED, -1, LABEL.astype(int)))
    with pytest.raises(ValueError, match=r"^ignore_label: expected None for classification.* 255"):
        from_arrays((IMAGE, LABEL[:, 0, 0]), channels="last", ignore_label=255)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_step_is_of_the_others(data, weights):
    """The loss, and by a step of gradient descent its gradient."""
    start = np.asarray(RANDOM.normal(size=(2, 3)), np.float32)
    batch = Batch(IMAGE, data.train.label, np.arange(6))
    model, state = eqx.nn.make_with_state(Linear)(jnp.asarray(start))
    rule, task = optax.sgd(1.0), task_of(data)
    loss = PerPositionCrossEntropy(weights).settled(data.train, 3)
    opt_state = rule.init(eqx.filter(model, eqx.is_inexact_array))
    key, zero = jax.random.key(0), jnp.asarray(0)
    state = TrainState(
        model=model, model_state=state, opt_state=opt_state, average=None, step=zero, key=key
    )
    prepared = task.target(jnp.asarray(batch.label))
    for about, label in ((None, batch.label), (task, prepared)):
        step = make_train_step(rule, loss=loss, task=about)
        after, metrics = eqx.filter_jit(step)(state, batch._replace(label=label))
        total, gradient, right, count = 0.0, np.zeros((2, 3)), 0, 0
        for x, y, left_out in zip(
            IMAGE.reshape(-1, 2), LABEL.reshape(-1), IGNORED.reshape(-1), strict=True
        ):
            if left_out:
                continue
            p, w = softmax(x @ start), 1.0 if weights is None else weights[y]
            total -= w * np.log(p[y])
            gradient += w * np.outer(x, [p[k] - (k == y) for k in range(3)])
            right, count = right + (max(range(3), key=p.__getitem__) == y), count + 1
        np.testing.assert_allclose(metrics["loss"], total / count, rtol=1e-5)
        np.testing.assert_allclose(metrics["accuracy"], right / count, rtol=1e-6)
        np.testing.assert_allclose(
            after.model.weight, start - gradient / count, rtol=1e-4, atol=1e-5
        )


def test_scores_are_of_the_others(data):
    answers = RANDOM.dirichlet(np.ones(3), LABEL.shape).astype(np.float32)
    found = Evaluation(answers, data.test.label, task_of(data), PerPositionCrossEntropy())
    table, loss = np.zeros((3, 3), int), 0.0
    for p, y, left_out in zip(
        answers.reshape(-1, 3), LABEL.reshape(-1), IGNORED.reshape(-1), strict=True
    ):
        if not left_out:
            table[y, p.argmax()] += 1
            loss -= np.log(p[y]) / (~IGNORED).sum()
    np.testing.assert_array_equal(found.confusion(), table)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, np.trace(table) / table.sum())
    union = table.sum(0) + table.sum(1) - np.diag(table)
    iou = METRICS["mean_iou"].measure(found)
    np.testing.assert_allclose(iou, np.mean(np.diag(table) / union))
