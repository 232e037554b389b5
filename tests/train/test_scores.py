"""Scores of whole splits, against loops that count."""

import itertools
import math

import numpy as np
import pytest

from cnnlab.train.evaluate import Evaluation
from cnnlab.train.losses import BinaryCrossEntropy, Huber, MeanSquaredError
from cnnlab.train.scores import METRICS, metrics_for, own_metric, scored, shown
from cnnlab.train.tasks import Classification, Multilabel, Segmentation, make_task

RANDOM = np.random.RandomState(1)
CLASSES = Evaluation(
    RANDOM.dirichlet(np.ones(7), 40).astype(np.float32),
    RANDOM.choice([0, 1, 2, 4, 5, 6], 40),  # none of class 3
    Classification(tuple("abcdefg")),
)
SEVERAL = Evaluation(
    RANDOM.random_sample((30, 3)).round(1).astype(np.float32),  # many are equal
    (RANDOM.random_sample((30, 3)) < [0.5, 0.2, 0.0]).astype(np.int32),  # none has the last
    Multilabel(tuple("abc")),
    BinaryCrossEntropy((5.0, 1.0, 1.0)),
)
NUMBERS = Evaluation(
    RANDOM.normal(10, 3, (20, 2)).astype(np.float32),
    RANDOM.normal(10, 3, (20, 2)).astype(np.float32),
    make_task("regression", "ab", [10.0, 9.0], [3.0, 2.0]),
    MeanSquaredError(),
)
MAPS = Evaluation(
    RANDOM.dirichlet(np.ones(3), (4, 2, 3)).astype(np.float32),
    RANDOM.randint(0, 3, (4, 2, 3)),
    Segmentation(tuple("abc")),
)


def counted(e, c):
    """Right, said, true positions or examples of one class or label."""
    several = e.task.name == "multilabel"
    true = (e.label[:, c] == 1) if several else (e.label == c).ravel()
    said = (e.answers[:, c] > 0.5) if several else (e.answers.argmax(-1) == c).ravel()
    return sum(true & said), sum(said), sum(true)


def f1(e):
    found = []
    for c in range(e.answers.shape[-1]):
        right, said, true = counted(e, c)
        if said + true or e.task.name == "multilabel":
            found.append(2 * right / (said + true) if said + true else 0.0)
    return sum(found) / len(found)


def iou(e):
    found = []
    for c in range(e.answers.shape[-1]):
        right, said, true = counted(e, c)
        found.append(right / (said + true - right))
    return sum(found) / len(found)


def balanced(e):
    counts = [counted(e, c) for c in range(e.answers.shape[-1])]
    found = [right / true for right, _, true in counts if true]
    return sum(found) / len(found)


def auroc(e):
    found = []
    for c in range(e.answers.shape[1]):
        true = e.label[:, c] == 1 if e.label.ndim == 2 else e.label == c
        pairs = list(itertools.product(e.answers[true, c], e.answers[~true, c]))
        if pairs:
            found.append(sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs))
    return sum(found) / len(found)


def top5(e):
    ranks = [sum(row > row[y]) for row, y in zip(e.answers, e.label, strict=True)]
    return sum(rank < 5 for rank in ranks) / len(ranks)


def r2(e):
    found = []
    for said, true in zip(e.answers.T.tolist(), e.label.T.tolist(), strict=True):
        mean = sum(true) / len(true)
        left = sum((a - b) ** 2 for a, b in zip(said, true, strict=True))
        found.append(1 - left / sum((b - mean) ** 2 for b in true))
    return sum(found) / len(found)


@pytest.mark.parametrize(
    ("evaluation", "name", "expected"),
    [
        (CLASSES, "accuracy", lambda e: np.mean(e.answers.argmax(1) == e.label)),
        (CLASSES, "top5_accuracy", top5),
        (CLASSES, "balanced_accuracy", balanced),
        (CLASSES, "f1", f1),
        (CLASSES, "auroc", auroc),
        (SEVERAL, "accuracy", lambda e: np.mean((e.answers > 0.5) == e.label)),
        (SEVERAL, "exact_match", lambda e: np.mean([*map(all, (e.answers > 0.5) == e.label)])),
        (SEVERAL, "f1", f1),
        (SEVERAL, "auroc", auroc),
        (NUMBERS, "r2", r2),
        (NUMBERS._replace(label=NUMBERS.label * np.float32(1e36)), "r2", r2),
        (NUMBERS, "mean_absolute_error", lambda e: np.mean(np.abs(e.answers - e.label))),
        (MAPS, "accuracy", lambda e: np.mean(e.answers.argmax(-1) == e.label)),
        (MAPS, "mean_iou", iou),
        (MAPS, "balanced_accuracy", balanced),
        (MAPS, "f1", f1),
    ],
)
def test_scores_are_those_that_are_counted(evaluation, name, expected):
    found = METRICS[name].measure(evaluation)
    np.testing.assert_allclose(found, expected(evaluation), rtol=1e-5)
    assert name in metrics_for(evaluation.task, [name])


def test_losses_of_answers_are_those_of_the_scores_that_gave_them():
    """Without the weights that are trained with, so that runs can be compared."""
    np.testing.assert_allclose(
        NUMBERS.loss, np.mean(((NUMBERS.answers - NUMBERS.label) / [3, 2]) ** 2), rtol=1e-5
    )
    p = np.clip(SEVERAL.answers.astype(np.float64), np.finfo(np.float32).tiny, 1 - 2**-24)
    expected = -np.where(SEVERAL.label == 1, np.log(p), np.log1p(-p)).mean()
    np.testing.assert_allclose(SEVERAL.loss, expected, rtol=1e-5)
    p = np.take_along_axis(MAPS.answers, MAPS.label[..., None], -1)
    np.testing.assert_allclose(MAPS.loss, -np.log(p).mean(), rtol=1e-6)
    assert NUMBERS._replace(criterion=lambda z, y: (z - y)[:, 0]).loss == pytest.approx(
        ((NUMBERS.answers - NUMBERS.label)[:, 0] / 3).mean(), rel=1e-4
    )
    assert NUMBERS._replace(criterion=Huber(1e6)).loss == pytest.approx(NUMBERS.loss / 2)


def test_what_does_not_exist_is_left_out():
    one = CLASSES._replace(answers=CLASSES.answers[:1], label=CLASSES.label[:1])
    assert scored(one, metrics_for(one.task, ["auroc", "accuracy"])).keys() == {"loss", "accuracy"}
    number = NUMBERS._replace(answers=NUMBERS.answers[:1], label=NUMBERS.label[:1])
    found = scored(number, metrics_for(number.task))
    assert found.keys() == {"loss", "mean_absolute_error"}


def test_which_way_is_better():
    assert METRICS["r2"].better(0.5, 0.4) and not METRICS["r2"].better(math.nan, 0.4)
    assert METRICS["loss"].better(0.4, 0.5) and not METRICS["loss"].better(math.nan, 0.4)
    mine = own_metric(lambda answers, labels: np.abs(answers - labels).max())
    assert mine.measure(NUMBERS) == np.abs(NUMBERS.answers - NUMBERS.label).max()


@pytest.mark.parametrize(
    ("task", "names", "message"),
    [
        (Classification(tuple("abc")), ["r2"], "metrics: expected some of loss, accuracy, .*'r2'"),
        (NUMBERS.task, ["f1"], "metrics: expected some of loss, r2, .* for regression, got 'f1'"),
        (
            Classification(tuple("abc")),
            ["top5_accuracy"],
            "metrics: expected top5_accuracy of more than 5 classes only, there are 3",
        ),
    ],
)
def test_scores_of_other_tasks_are_refused(task, names, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        metrics_for(task, names)


def test_scores_on_a_line():
    numbers = {"balanced_accuracy": 0.98765, "loss": -1e-9, "r2": None}
    assert shown(numbers) == "balanced accuracy 0.9877  loss 0.0000  r2 -"
