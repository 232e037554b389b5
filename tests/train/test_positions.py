"""Labels of some positions: what has none counts nowhere. And runs on tokens."""

import math

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from sklearn.metrics import f1_score

import cnnlab
from cnnlab import nn
from cnnlab.config import ConfigError, build, compose, load_predictor
from cnnlab.data import ArraySplit, Dataset
from cnnlab.train import Pmap, Shard, losses
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.losses import cross_entropy
from cnnlab.train.metrics import read_lines
from cnnlab.train.scores import METRICS, metrics_for
from cnnlab.train.step import make_prepare
from cnnlab.train.tasks import Tokens

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 6, (8, 5))
# The first half of the examples has few labels, the second many.
LABEL = np.where(RNG.random((8, 5)) < np.repeat([0.2, 0.8], 4)[:, None], TOKENS[:, ::-1], -1)
LABEL[0, 0] = 3
THERE = LABEL >= 0


class Net(eqx.Module):
    embedding: nn.Embedding
    linear: nn.Linear

    def __init__(self, key):
        self.embedding = nn.Embedding(6, 3, key=key)
        self.linear = nn.Linear(3, 6, key=key)

    def __call__(self, x):
        return self.linear(self.embedding(x))


NET = Net(jr.key(0))


def data_set():
    split = ArraySplit(TOKENS, LABEL)
    return Dataset.from_splits(
        "mine", split, split, class_names="abcdef", origin="made up", task="tokens", vocabulary=6
    )


def expected_loss(weight, bias, embedding):
    """By NumPy, of the positions that have a label."""
    z = embedding[TOKENS[THERE]] @ weight + bias
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    return -np.log(p[np.arange(len(p)), LABEL[THERE]]).mean(), (z.argmax(-1) == LABEL[THERE]).mean()


@pytest.mark.parametrize("runtime", [None, Pmap(2), Shard(2)], ids=["jit", "pmap", "shard"])
def test_a_step_is_that_of_the_positions_with_a_label(runtime):
    options = {"optimizer": optax.sgd(0.5), "steps": 1, "batch_size": 8, "runtime": runtime}
    fitted = cnnlab.fit(NET, data_set(), **options)
    arrays = [NET.linear.weight, NET.linear.bias, NET.embedding.weight]
    loss, accuracy = expected_loss(*(np.asarray(a, np.float64) for a in arrays))
    np.testing.assert_allclose(fitted.history["loss"][0], loss, rtol=1e-5)
    np.testing.assert_allclose(fitted.history["accuracy"][0], accuracy, rtol=1e-6)
    # The gradient in the bias, by differences.
    step, bias = 1e-5, np.asarray(NET.linear.bias, np.float64)
    weight, embedding = (np.asarray(a, np.float64) for a in (arrays[0], arrays[2]))
    at = lambda i, h: expected_loss(weight, bias + h * (np.arange(6) == i), embedding)[0]
    gradient = [(at(i, step) - at(i, -step)) / (2 * step) for i in range(6)]
    found = (NET.linear.bias - fitted.model.linear.bias) / 0.5
    np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-6)


def test_arrays_and_classes_count_the_same():
    options = {"optimizer": optax.sgd(0.5), "steps": 2, "batch_size": 8}
    one, other = (cnnlab.fit(NET, data, **options) for data in (data_set(), (TOKENS, LABEL)))
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-6)
    with pytest.raises(ValueError, match=r"^data: expected classes from 0 to 5, .* got -2"):
        cnnlab.fit(NET, (TOKENS, LABEL - 1), **options)


def test_what_has_no_label_gets_no_target_from_smoothing():
    about = {"mean": np.zeros(0, np.float32), "std": np.zeros(0, np.float32)}
    prepare = make_prepare(
        **about, task=Tokens(tuple("abcdef")), transforms=(), label_smoothing=0.3, steps_per_epoch=1
    )
    raw = cnnlab.data.Batch(TOKENS, LABEL.astype(np.int32), np.arange(8, dtype=np.int32))
    batch = prepare(raw, jr.key(0), jnp.asarray(0))
    np.testing.assert_array_equal(batch.image, TOKENS)
    target = np.where(np.arange(6) == LABEL[..., None], 0.75, 0.05) * THERE[..., None]
    np.testing.assert_allclose(batch.label, target, atol=1e-6)
    logits = jnp.asarray(RNG.standard_normal((8, 5, 6)), jnp.float32)
    for label in (batch.label, jnp.asarray(LABEL)):
        assert (np.asarray(cross_entropy(logits, label) > 0) == THERE).all()


def test_scores_are_those_of_the_positions_with_a_label():
    answers = RNG.dirichlet(np.ones(6), (8, 5)).astype(np.float32)
    whole = Evaluation(answers, LABEL.astype(np.int32), Tokens(tuple("abcdef")))
    true, said = LABEL[THERE], answers[THERE].argmax(-1)
    assert whole.accuracy == np.mean(true == said)
    loss = -np.log(answers[THERE][np.arange(len(true)), true]).mean()
    np.testing.assert_allclose(whole.loss, loss, rtol=1e-6)
    np.testing.assert_allclose(METRICS["bits_per_byte"].measure(whole), loss / math.log(2))
    assert METRICS["f1"].measure(whole) == f1_score(true, said, average="macro")
    assert whole.confusion().sum() == len(true) and whole.confusion()[3, 4] == np.sum(
        (true == 3) & (said == 4)
    )
    balanced = losses.CrossEntropy("balanced").settled(data_set().train, 6).class_weights
    counts = np.bincount(true, minlength=6)
    np.testing.assert_allclose(balanced, len(true) / (6 * counts))
    with pytest.raises(ValueError, match=r"^metrics: expected bits_per_byte of 256 tokens only"):
        metrics_for(whole.task, ["bits_per_byte"])


RECALL = (
    *("data=recall", "data.length=12", "data.vocabulary=6", "data.pairs=2"),
    *("data.train_size=24", "data.test_size=8", "data.val_fraction=0.25", "backbone=sequence"),
    *("backbone.width=4", "backbone.depth=1", "backbone.filter.modes=2", "head=conv"),
    *("head.pool=none", "optimizer=sgd", "batch_size=8", "eval_batch_size=8", "steps=2"),
    *("log_every.steps=1", "progress=false"),
)


def test_a_run_on_tokens_streams_shards_and_predicts(tmp_path):
    experiment = build(compose([*RECALL, f"output={tmp_path}"]))
    result = experiment.run()
    other = build(
        compose([*RECALL, f"output={tmp_path}", "data.placement=stream", "runtime=shard",
                 "runtime.devices=2"])
    )  # fmt: skip
    same = other.run()
    assert same["test_loss"] == pytest.approx(result["test_loss"], rel=1e-5)
    one, two = (
        [r["loss"] for r in read_lines(e.directory.metrics)] for e in (experiment, other)
    )  # fmt: skip
    np.testing.assert_allclose(one, two, rtol=1e-5)
    tokens = experiment.data.test.image
    predictor = load_predictor(experiment.directory.path)
    answers = experiment.evaluate().answers
    np.testing.assert_allclose(predictor(tokens[3]), answers[3], rtol=1e-4, atol=1e-6)
    assert (answers[3] > 0).all() and answers.shape == (8, 12, 6)
    longer = load_predictor(experiment.directory.path, input_shape=(20,))
    padded = longer(np.pad(tokens[3], (0, 8)))
    np.testing.assert_allclose(padded[:12], answers[3], rtol=1e-4, atol=1e-6)
    for wrong in (tokens[3] + 6, np.full(12, -1)):
        with pytest.raises(ValueError, match=r"^example: expected tokens from 0 to 5"):
            predictor(wrong)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("augment=[cutout]",), r"augment: expected none, as the examples of recall are tokens"),
        (("tta=flip",), "tta: expected none, as the examples of recall are tokens, got flip"),
        (("head.pool=avg",), r"head: expected scores at \[12\] positions, as the labels are"),
        (("loss=huber",), "loss: expected cross_entropy or per_position_cross_entropy, as the"),
    ],
)
def test_what_does_not_fit_tokens_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        build(compose([*RECALL, *overrides]))


def test_other_backbones_refuse_tokens():
    own = [setting for setting in RECALL if not setting.startswith("backbone")]
    with pytest.raises(ConfigError, match=r"^backbone\._target_: .* no argument 'vocabulary'"):
        build(compose(own))
