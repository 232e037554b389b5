"""Losses: of a network's scores and the targets, one number for each example (or position).

Any function of this kind is one: `(logits, target) -> losses`. Those below are what the config
group `loss` offers; each is for one task (`train.tasks`).
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Shaped

from cnnlab.arguments import checked
from cnnlab.data import Dataset, Split
from cnnlab.data.labels import NO_LABEL, PER_POSITION, TaskName, labels_of

Loss = Callable[[Array, Array], Array]
Weights = Literal["balanced"] | Sequence[float | int] | None


def cross_entropy(
    logits: Float[Array, "*batch k"], label: Shaped[Array, "..."]
) -> Float[Array, "*batch"]:
    """Softmax cross-entropy in nats, of classes `(*batch,)` or of targets `(*batch, k)` that sum to
    1; 0 where a position has no class (`NO_LABEL`) or its targets are all 0.

    **Raises:** `ValueError` where the labels are neither.
    """
    if are_classes(logits, label):
        there = label != NO_LABEL
        own = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(there, label, 0))
        return jnp.where(there, own, 0)
    _check_targets(logits, label, f"classes {logits.shape[:-1]} or targets")
    return optax.softmax_cross_entropy(logits, label)


def are_classes(logits: Array, label: Array) -> bool:
    """Whether labels are classes, one where the scores are `(k,)`."""
    return jnp.issubdtype(label.dtype, jnp.integer) and label.shape == logits.shape[:-1]


def _check_targets(logits: Array, label: Array, expected: str = "targets") -> None:
    if label.shape != logits.shape:
        raise ValueError(
            f"label: expected {expected} {logits.shape}, as the scores are, got {label.dtype} "
            f"{label.shape}"
        )


class TaskLoss(abc.ABC):
    """A loss for labels of one kind.

    **Attributes:** `tasks`, those that have them.
    """

    tasks: ClassVar[tuple[TaskName, ...]]

    def settled(self, train: Split, k: int) -> "TaskLoss":
        """The same with all that it takes from the training labels, of `k` classes or labels.

        **Raises:** `ValueError` that begins with an argument's name.
        """
        del train, k
        return self

    def unweighted(self) -> "TaskLoss":
        """The same without weights: what is evaluated, so that runs can be compared."""
        return self

    @abc.abstractmethod
    def __call__(self, logits: Float[Array, "*batch k"], label: Array) -> Float[Array, "*batch"]:
        """The losses."""


@checked
@dataclasses.dataclass(frozen=True)
class CrossEntropy(TaskLoss):
    """Softmax cross-entropy in nats, `-sum_k w_k t_k log p_k` with targets `t`.

    `class_weights`: `w`; one for each class, or `"balanced"`: `n / (k n_c)` for one that `n_c` of
    the `n` training labels are of, so that each class counts the same and their mean is 1 (King and
    Zeng, 2001).
    """

    class_weights: Weights = None
    tasks: ClassVar[tuple[TaskName, ...]] = ("classification", "tokens")

    def settled(self, train: Split, k: int) -> "CrossEntropy":
        if self.class_weights == "balanced":
            label = labels_of(train)
            counts = np.bincount(label[label != NO_LABEL], minlength=k)
            weights = np.where(counts > 0, counts.sum() / (k * np.maximum(counts, 1)), 1.0)
        else:
            weights = _checked("class_weights", self.class_weights, k)
        return dataclasses.replace(self, class_weights=_numbers(weights))

    def unweighted(self) -> "CrossEntropy":
        return dataclasses.replace(self, class_weights=None)

    def __call__(self, logits: Float[Array, "*batch k"], label: Array) -> Float[Array, "*batch"]:
        if self.class_weights is None:
            return cross_entropy(logits, label)
        weights = _array("class_weights", self.class_weights, logits)
        if are_classes(logits, label):
            return weights[jnp.maximum(label, 0)] * cross_entropy(logits, label)
        _check_targets(logits, label)
        return cross_entropy(logits, weights * label)


@checked
@dataclasses.dataclass(frozen=True)
class PerPositionCrossEntropy(CrossEntropy):
    """Softmax cross-entropy at every position that has a class: semantic segmentation, the next
    token of a sequence."""

    tasks: ClassVar[tuple[TaskName, ...]] = PER_POSITION


@checked
@dataclasses.dataclass(frozen=True)
class BinaryCrossEntropy(TaskLoss):
    """Sigmoid cross-entropy in nats, the mean over the labels: each is there or not, whatever the
    others are.

    `positive_weights`: what a label that is there counts, beside 1 for one that is not; one for
    each label, or `"balanced"`: as many as there are without it in the training split for each with
    it.
    """

    positive_weights: Weights = None
    tasks: ClassVar[tuple[TaskName, ...]] = ("multilabel",)

    def settled(self, train: Split, k: int) -> "BinaryCrossEntropy":
        if self.positive_weights == "balanced":
            share = np.asarray(labels_of(train), np.float64).mean(0)
            weights = np.where(share > 0, (1 - share) / np.maximum(share, 1e-9), 1.0)
        else:
            weights = _checked("positive_weights", self.positive_weights, k)
        return dataclasses.replace(self, positive_weights=_numbers(weights))

    def unweighted(self) -> "BinaryCrossEntropy":
        return dataclasses.replace(self, positive_weights=None)

    def __call__(self, logits: Float[Array, "*batch k"], label: Array) -> Float[Array, "*batch"]:
        _check_targets(logits, label)
        weights = 1.0
        if self.positive_weights is not None:
            weights = _array("positive_weights", self.positive_weights, logits)
        there, absent = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
        return -(weights * label * there + (1 - label) * absent).mean(-1)


class MeanSquaredError(TaskLoss):
    """The mean square of the differences, over the numbers of an example."""

    tasks = ("regression",)

    def __call__(self, logits: Float[Array, "*batch k"], label: Array) -> Float[Array, "*batch"]:
        _check_targets(logits, label)
        return jnp.square(logits - label).mean(-1)


@checked
@dataclasses.dataclass(frozen=True)
class Huber(TaskLoss):
    """Half the square of a difference up to `delta`, in proportion to it beyond: one wrong label
    pulls no harder than many (Huber, 1964). The mean over the numbers of an example.

    `delta`: in standard deviations of the number, which is what the targets are in.
    """

    delta: float | int = 1.0
    tasks: ClassVar[tuple[TaskName, ...]] = ("regression",)

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise ValueError(f"delta: expected a number > 0, got {self.delta}")

    def __call__(self, logits: Float[Array, "*batch k"], label: Array) -> Float[Array, "*batch"]:
        _check_targets(logits, label)
        return optax.huber_loss(logits, label, delta=float(self.delta)).mean(-1)


# By their choices in the config group `loss`.
LOSSES: dict[str, type[TaskLoss]] = {
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "huber": Huber,
    "per_position_cross_entropy": PerPositionCrossEntropy,
}


def for_data(loss: Loss, data: Dataset) -> Loss:
    """A loss with all that it takes from a data set.

    **Raises:** `ValueError` that begins with `loss`: one for labels of another kind.
    """
    if loss is cross_entropy and data.task not in CrossEntropy.tasks:
        loss = CrossEntropy()
    if not isinstance(loss, TaskLoss):
        return loss
    if data.task not in loss.tasks:
        fitting = [name for name, known in LOSSES.items() if data.task in known.tasks]
        raise ValueError(
            f"loss: expected {' or '.join(fitting)}, as the labels of {data.name} are of "
            f"{data.task}, got {next(n for n, known in LOSSES.items() if type(loss) is known)}"
        )
    try:
        return loss.settled(data.train, data.num_classes)
    except ValueError as error:
        raise ValueError(f"loss.{error}") from error


def _checked(name: str, weights: Weights, k: int) -> Weights:
    if weights is None:
        return None
    if len(weights) != k:
        raise ValueError(f"{name}: expected {k} numbers, one each, got {len(weights)}")
    if not all(0 < weight < np.inf for weight in weights):  # type: ignore
        raise ValueError(f"{name}: expected numbers > 0, got {list(weights)}")
    return weights


def _numbers(weights: object) -> tuple[float, ...] | None:
    """As a frozen loss holds them, hashable."""
    return None if weights is None else tuple(np.asarray(weights, np.float64).tolist())


def _array(name: str, weights: Weights, logits: Array) -> Array:
    if isinstance(weights, str):
        raise ValueError(f"{name}: expected numbers, of loss.settled(split, k), got {weights!r}")
    return jnp.asarray(_checked(name, weights, logits.shape[-1]), logits.dtype)
