"""Scores: numbers of a whole split, by which networks are compared and the best one is kept.

Each is taken of all predictions at once, by scikit-learn where it has it: the mean over batches of
an F1 or an AUROC is none. A score that does not exist, as the AUROC of one class alone, is NaN.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cnnlab.data.labels import PER_POSITION, TASKS, TaskName
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.tasks import Task

Measure = Callable[[np.ndarray, np.ndarray], float]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score: how it is taken, of which tasks, and which way is better."""

    measure: Callable[[Evaluation], float]
    tasks: Sequence[TaskName] = TASKS
    larger_is_better: bool = True

    def better(self, new: float, old: float) -> bool:
        """Whether a score is better than another; one that is NaN never is."""
        return new > old if self.larger_is_better else new < old


def own_metric(measure: Measure) -> Metric:
    """A metric of one's own: a function of all answers and labels, of which more is better."""
    return Metric(lambda e: float(measure(e.answers, e.label)))


def _sklearn() -> Any:
    with warnings.catch_warnings():
        # scikit-learn's own imports of SciPy deprecate something with every release.
        warnings.simplefilter("ignore", DeprecationWarning)
        import sklearn.metrics
    return sklearn.metrics


def _macro(name: str) -> Callable[[Evaluation], float]:
    """The mean over classes, those that there are or that were predicted, of a scikit-learn score;
    0 for one that divides by none."""

    def measure(e: Evaluation) -> float:
        score = getattr(_sklearn(), name)
        return float(score(*e.pairs(), average="macro", zero_division=0))

    return measure


def exact_match(e: Evaluation) -> float:
    """The fraction of examples all of whose labels are right."""
    return float((e.predicted == e.label).all(-1).mean())


def top5_accuracy(e: Evaluation) -> float:
    """The fraction of examples whose class is one of the five of highest probability; of equal
    ones the first counts as higher, as for the accuracy."""
    five = np.argsort(-e.answers, axis=-1, kind="stable")[:, :5]
    return float((five == e.label[:, None]).any(-1).mean())


def balanced_accuracy(e: Evaluation) -> float:
    """The mean over classes that there are of the share found of each (recall)."""
    label, predicted = e.pairs()
    recall = _sklearn().recall_score
    return float(recall(label, predicted, labels=np.unique(label), average="macro"))


def auroc_each(e: Evaluation) -> np.ndarray:
    """For each class or label, how often one that has it is above one that has not `(k,)`: the area
    under its receiver operating characteristic; NaN where all or none have it."""
    k = e.answers.shape[-1]
    there = e.label[:, None] == np.arange(k) if e.label.ndim == 1 else e.label > 0
    area = _sklearn().roc_auc_score
    both = there.any(0) & ~there.all(0)
    found = np.full(k, math.nan)
    for c in np.flatnonzero(both):
        found[c] = area(there[:, c], e.answers[:, c])
    return found


def auroc(e: Evaluation) -> float:
    """The mean of `auroc_each` over those where it is a number."""
    each = auroc_each(e)
    found = each[np.isfinite(each)]
    return float(found.mean()) if len(found) else math.nan


def r2(e: Evaluation) -> float:
    """The share of the variance of the numbers that is explained, the mean over them: 1 is perfect,
    0 as good as their mean."""
    if len(e.label) < 2:
        return math.nan
    wide = (numbers.astype(np.float64) for numbers in (e.label, e.answers))  # squares of float32's
    return float(_sklearn().r2_score(*wide))


def mean_absolute_error(e: Evaluation) -> float:
    """The mean distance from the number, in its unit; over all numbers of an example."""
    return float(np.abs(e.answers - e.label).mean())


def bits_per_byte(e: Evaluation) -> float:
    """The mean loss in bits, where what is predicted are bytes: what a coder that knows the
    probabilities takes for one."""
    return e.loss / math.log(2)


_OF_CLASSES: Sequence[TaskName] = ("classification", *PER_POSITION)

METRICS: Mapping[str, Metric] = {
    "loss": Metric(lambda e: e.loss, larger_is_better=False),
    "accuracy": Metric(lambda e: e.accuracy, (*_OF_CLASSES, "multilabel")),
    "top5_accuracy": Metric(top5_accuracy, ("classification",)),
    "balanced_accuracy": Metric(balanced_accuracy, _OF_CLASSES),
    "f1": Metric(_macro("f1_score"), (*_OF_CLASSES, "multilabel")),
    "auroc": Metric(auroc, ("classification", "multilabel")),
    "exact_match": Metric(exact_match, ("multilabel",)),
    "mean_iou": Metric(_macro("jaccard_score"), PER_POSITION),
    "bits_per_byte": Metric(bits_per_byte, ("tokens",), larger_is_better=False),
    "r2": Metric(r2, ("regression",)),
    "mean_absolute_error": Metric(mean_absolute_error, ("regression",), larger_is_better=False),
}

# Those taken where none are asked for; the first is what the best network is chosen by.
DEFAULT: Mapping[TaskName, tuple[str, ...]] = {
    "classification": ("accuracy",),
    "multilabel": ("f1", "auroc", "accuracy"),
    "regression": ("r2", "mean_absolute_error"),
    "segmentation": ("mean_iou", "accuracy"),
    "tokens": ("accuracy",),
}


def metrics_for(
    task: Task, names: Sequence[str] | Mapping[str, Measure] | None = None
) -> dict[str, Metric]:
    """The metrics of these names, in their order: of one's own functions, where these are given.

    **Raises:** `ValueError` for one that is not of this task.
    """
    if isinstance(names, Mapping):
        return {name: own_metric(measure) for name, measure in names.items()}
    for name in names or ():
        fitting = [key for key, metric in METRICS.items() if task.name in metric.tasks]
        if name not in fitting:
            raise ValueError(
                f"metrics: expected some of {', '.join(fitting)} for {task.name}, got {name!r}"
            )
        if name == "bits_per_byte" and len(task.names) != 256:
            raise ValueError(
                f"metrics: expected bits_per_byte of 256 tokens only, there are {len(task.names)}"
            )
        if name == "top5_accuracy" and len(task.names) <= 5:
            raise ValueError(
                f"metrics: expected top5_accuracy of more than 5 classes only, there are "
                f"{len(task.names)}"
            )
    return {name: METRICS[name] for name in names or DEFAULT[task.name]}


def scored(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """The loss, and each metric by its name; those that do not exist here are left out."""
    found = {"loss": evaluation.loss}
    found |= {name: metric.measure(evaluation) for name, metric in metrics.items()}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def shown(numbers: Mapping[str, float | None]) -> str:
    """Scores on one line, `accuracy 0.9876  loss 0.1234`; `-` for one that does not exist."""
    texts = {name: "-" if x is None else f"{x:z.4f}" for name, x in numbers.items()}
    return "  ".join(f"{name.replace('_', ' ')} {text}" for name, text in texts.items())
