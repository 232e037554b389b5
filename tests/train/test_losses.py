"""Losses against loops of their formulas and against PyTorch; weights against scikit-learn."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from cnnlab.data import ArraySplit, Dataset, scattered_digits
from cnnlab.train import losses
from cnnlab.train.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Huber,
    MeanSquaredError,
    PerPositionCrossEntropy,
)

RANDOM = np.random.RandomState(0)
SCORES = RANDOM.normal(scale=3, size=(6, 4)).astype(np.float32)
CLASSES = RANDOM.randint(0, 4, 6)
SOFT = RANDOM.dirichlet(np.ones(4), 6).astype(np.float32)
THERE = RANDOM.randint(0, 2, (6, 4)).astype(np.float32)
NUMBERS = RANDOM.normal(size=(6, 4)).astype(np.float32)
MAPS = RANDOM.normal(size=(2, 3, 5, 4)).astype(np.float32)
MAP = RANDOM.randint(0, 4, (2, 3, 5))
DIGITS = functools.partial(scattered_digits, train_size=4, test_size=1, val_fraction=0)
WEIGHTS = (0.5, 2.0, 1.0, 3.0)


def softmax_loss(z, t, w):
    """-sum_k w_k t_k log p_k, one example."""
    top = max(map(float, z))
    total = sum(math.exp(float(x) - top) for x in z)
    return -sum(w[k] * t[k] * (float(z[k]) - top - math.log(total)) for k in range(len(z)))


def sigmoid_loss(z, t, w):
    terms = [
        w[k] * t[k] * math.log1p(math.exp(-z[k])) + (1 - t[k]) * math.log1p(math.exp(z[k]))
        for k in range(len(z))
    ]
    return sum(terms) / len(terms)


def huber_loss(z, t, delta):
    parts = [abs(float(a) - float(b)) for a, b in zip(z, t, strict=True)]
    return sum(d * d / 2 if d <= delta else delta * (d - delta / 2) for d in parts) / len(parts)


def torch_losses():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    f, tensor = torch.nn.functional, torch.tensor
    weight = tensor(WEIGHTS)
    return {
        "soft": lambda z: f.cross_entropy(z, tensor(SOFT), weight, reduction="none"),
        "hard": lambda z: f.cross_entropy(z, tensor(CLASSES), weight, reduction="none"),
        "binary": lambda z: f.binary_cross_entropy_with_logits(
            z, tensor(THERE), pos_weight=weight, reduction="none"
        ).mean(-1),
        "squares": lambda z: f.mse_loss(z, tensor(NUMBERS), reduction="none").mean(-1),
        "huber": lambda z: f.huber_loss(z, tensor(NUMBERS), delta=0.7, reduction="none").mean(-1),
        "positions": lambda z: f.cross_entropy(
            z.movedim(-1, 1), tensor(MAP), weight, reduction="none"
        ),
    }


CASES = {
    "soft": (CrossEntropy(WEIGHTS), SCORES, SOFT, lambda z, t: softmax_loss(z, t, WEIGHTS)),
    "hard": (
        CrossEntropy(list(WEIGHTS)),
        SCORES,
        CLASSES,
        lambda z, c: softmax_loss(z, np.eye(4)[c], WEIGHTS),
    ),
    "binary": (
        BinaryCrossEntropy(WEIGHTS),
        SCORES,
        THERE,
        lambda z, t: sigmoid_loss(z, t, WEIGHTS),
    ),
    "squares": (
        MeanSquaredError(),
        SCORES,
        NUMBERS,
        lambda z, t: sum((float(a) - float(b)) ** 2 for a, b in zip(z, t, strict=True)) / len(z),
    ),
    "huber": (Huber(0.7), SCORES, NUMBERS, lambda z, t: huber_loss(z, t, 0.7)),
    "positions": (
        PerPositionCrossEntropy(WEIGHTS),
        MAPS,
        np.eye(4, dtype=np.float32)[MAP],
        lambda z, t: softmax_loss(z, t, WEIGHTS),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_are_those_of_their_formulas(case):
    loss, z, target, formula = CASES[case]
    found = loss(jnp.asarray(z), jnp.asarray(target))
    examples = found.size
    rows = z.reshape(examples, -1), target.reshape(examples, *([-1] if target.ndim > 1 else []))
    expected = [formula(*both) for both in zip(*rows, strict=True)]
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_their_gradients_are_those_of_pytorch(case):
    theirs, (loss, z, target, _) = torch_losses()[case], CASES[case]
    import torch

    inputs = torch.tensor(z, requires_grad=True)
    expected = theirs(inputs)
    expected.sum().backward()
    total = lambda z: loss(z, jnp.asarray(target)).sum()
    np.testing.assert_allclose(
        loss(jnp.asarray(z), jnp.asarray(target)), expected.detach(), rtol=1e-5
    )
    np.testing.assert_allclose(jax.grad(total)(jnp.asarray(z)), inputs.grad, rtol=1e-4, atol=1e-6)


def test_scores_far_out_give_finite_losses_and_gradients():
    far = jnp.asarray([[200.0, -200.0]]), jnp.asarray([[0.0, 1.0]])
    for loss in (BinaryCrossEntropy(), CrossEntropy()):
        value, slope = jax.value_and_grad(lambda z, loss=loss: loss(z, far[1]).sum())(far[0])
        assert value >= 200 and np.isfinite(slope).all()


def data(task, label, names):
    split = ArraySplit(np.zeros((len(label), 2, 2, 1), np.float32), np.asarray(label))
    return Dataset.from_splits(
        "made", split, split, class_names=names, val_fraction=0, origin="here", task=task
    )


def test_balanced_weights():
    label = np.array([0] * 7 + [1] * 2 + [2])
    settled = losses.for_data(CrossEntropy("balanced"), data("classification", label, "abc"))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=label)
    np.testing.assert_allclose(settled.class_weights, expected)
    assert np.average(settled.class_weights, weights=[7, 2, 1]) == pytest.approx(1)
    unseen = losses.for_data(CrossEntropy("balanced"), data("classification", label, "abcd"))
    assert unseen.class_weights[3] == 1.0
    several = data("multilabel", [[1, 0], [1, 0], [1, 1], [0, 0]], "ab")
    assert losses.for_data(BinaryCrossEntropy("balanced"), several).positive_weights == (1 / 3, 3)
    positions = np.array([[[0, 0], [0, 1]]])
    maps = data("segmentation", positions, "ab")
    assert losses.for_data(PerPositionCrossEntropy("balanced"), maps).class_weights == (2 / 3, 2)


@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        (
            losses.cross_entropy,
            "sum",
            "loss: expected mean_squared_error or huber, as the labels of "
            "scattered_digits are of regression, got cross_entropy",
        ),
        (Huber(), "present", "loss: expected binary_cross_entropy, as .* multilabel, got huber"),
        (
            CrossEntropy(),
            "map",
            "loss: expected per_position_cross_entropy, .*, got cross_entropy",
        ),
        (
            BinaryCrossEntropy([1.0, 2.0]),
            "present",
            r"loss.positive_weights: expected 10 numbers, one each, got 2",
        ),
        (
            PerPositionCrossEntropy([0.0] * 11),
            "map",
            r"loss.class_weights: expected numbers > 0, got \[0.0, ",
        ),
    ],
)
def test_a_loss_for_other_labels_is_refused(loss, labels, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        losses.for_data(loss, DIGITS(labels=labels))
    assert "\n" not in str(caught.value)


def test_targets_of_another_shape_are_refused():
    """(b, 1) less (b,), say, would be (b, b)."""
    for loss in (BinaryCrossEntropy(), MeanSquaredError(), Huber(), CrossEntropy(WEIGHTS)):
        with pytest.raises(ValueError, match=r"^label: expected targets \(6, 4\), as the scores"):
            loss(jnp.asarray(SCORES), jnp.asarray(NUMBERS[:, 0]))
    with pytest.raises(ValueError, match=r"^class_weights: expected numbers, of loss.settled"):
        CrossEntropy("balanced")(jnp.asarray(SCORES), jnp.asarray(CLASSES))
