"""What the labels ask of a network: the targets that it is trained on, and what its scores answer.

A data set says which task it sets (`data.labels`); all that differs between tasks is here, in
`losses` and `scores`, and in the pictures of `report`.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from cnnlab.data import Dataset
from cnnlab.data.labels import NO_LABEL, TaskName
from cnnlab.train.losses import are_classes

_TINY = np.finfo(np.float32).tiny
_NEAR_ONE = 1 - np.finfo(np.float32).epsneg
Numbers = Shaped[np.ndarray, "n ..."]


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """**Attributes:**

    - `names`: of the classes, the labels, or the numbers: one for each output of a network.
    - `name`: which task it is.
    """

    names: tuple[str, ...]
    name: ClassVar[TaskName]

    @abc.abstractmethod
    def target(self, label: Shaped[Array, "b ..."]) -> Float[Array, "b ..."]:
        """What is trained on: raw labels as float32, of the shape of the scores; zeros at a
        position that has none."""

    @abc.abstractmethod
    def answer(self, logits: Float[Array, "... k"]) -> Float[Array, "... k"]:
        """What scores say: probabilities, or numbers in the units of the labels."""

    @abc.abstractmethod
    def logits(self, answers: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
        """Scores that say this; `answer` the other way round."""

    @abc.abstractmethod
    def predicted(self, answers: Float[np.ndarray, "... k"]) -> Numbers:
        """The labels that are most likely, such as the class of highest probability."""

    def hits(self, logits: Array, target: Array) -> Bool[Array, "..."] | None:
        """Where scores are right about a target; None where there is no right and wrong."""
        del logits, target
        return None

    def counted(self, logits: Array, target: Array) -> Bool[Array, "..."] | None:
        """Which positions have a target; None where there is one for each example."""
        del logits, target
        return None

    @abc.abstractmethod
    def top(self, answer: Float[np.ndarray, "... k"], count: int) -> list[tuple[str, float]]:
        """One answer by name, what matters most first (`Predictor.top`)."""

    def line(self, name: str, number: float) -> str:
        """A line that says one of `top`."""
        return f"{number:6.1%}  {name}"

    def _largest(self, numbers: Float[np.ndarray, " k"], count: int) -> list[tuple[str, float]]:
        return [(self.names[i], float(numbers[i])) for i in np.argsort(-numbers)[:count]]


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """One of `k` classes each: probabilities `(n, k)` that sum to 1."""

    name: ClassVar[TaskName] = "classification"

    def target(self, label: Shaped[Array, "b ..."]) -> Float[Array, "b ..."]:
        return jax.nn.one_hot(label, len(self.names), dtype=jnp.float32)

    def answer(self, logits: Float[Array, "... k"]) -> Float[Array, "... k"]:
        return jax.nn.softmax(logits)

    def logits(self, answers: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
        return np.log(np.maximum(answers, _TINY))

    def predicted(self, answers: Float[np.ndarray, "... k"]) -> Numbers:
        return answers.argmax(-1)

    def hits(self, logits: Array, target: Array) -> Bool[Array, "..."] | None:
        return hits(logits, target)

    def top(self, answer: Float[np.ndarray, "... k"], count: int) -> list[tuple[str, float]]:
        return self._largest(answer, count)


@dataclasses.dataclass(frozen=True)
class Segmentation(Classification):
    """One of `k` classes at each position that has a label: probabilities `(n, *spatial, k)`."""

    name: ClassVar[TaskName] = "segmentation"

    def counted(self, logits: Array, target: Array) -> Bool[Array, "..."] | None:
        del logits
        return target.any(-1)

    def top(self, answer: Float[np.ndarray, "... k"], count: int) -> list[tuple[str, float]]:
        counts = np.bincount(self.predicted(answer).reshape(-1), minlength=len(self.names))
        return self._largest(counts / counts.sum(), count)


@dataclasses.dataclass(frozen=True)
class Tokens(Segmentation):
    """The same at the positions of a sequence: the token that comes next, say."""

    name: ClassVar[TaskName] = "tokens"


@dataclasses.dataclass(frozen=True)
class Multilabel(Task):
    """Any of `k` labels each: a probability `(n, k)` for each; those above 1/2 are predicted."""

    name: ClassVar[TaskName] = "multilabel"

    def target(self, label: Shaped[Array, "b ..."]) -> Float[Array, "b ..."]:
        return label.astype(jnp.float32)

    def answer(self, logits: Float[Array, "... k"]) -> Float[Array, "... k"]:
        return jax.nn.sigmoid(logits)

    def logits(self, answers: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
        p = np.clip(answers, _TINY, _NEAR_ONE)
        return np.log(p) - np.log1p(-p)

    def predicted(self, answers: Float[np.ndarray, "... k"]) -> Numbers:
        return (answers > 0.5).astype(np.int32)

    def hits(self, logits: Array, target: Array) -> Bool[Array, "..."] | None:
        return (logits > 0) == (target > 0.5)

    def top(self, answer: Float[np.ndarray, "... k"], count: int) -> list[tuple[str, float]]:
        return self._largest(answer, max(count, int(self.predicted(answer).sum())))

    def line(self, name: str, number: float) -> str:
        return f"{'+' if number > 0.5 else ' '} {super().line(name, number)}"


@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """`k` numbers each, `(n, k)`. Trained on in standard deviations from their mean, as images are,
    so that numbers in different units count the same; answered in their units.

    `mean`, `std`: `(k,)`, in these units.
    """

    mean: Float[np.ndarray, " k"]
    std: Float[np.ndarray, " k"]
    name: ClassVar[TaskName] = "regression"

    def target(self, label: Shaped[Array, "b ..."]) -> Float[Array, "b ..."]:
        return (label.astype(jnp.float32) - self.mean[None]) / self.std[None]

    def answer(self, logits: Float[Array, "... k"]) -> Float[Array, "... k"]:
        own = lambda v: jnp.broadcast_to(v, logits.shape)
        return logits * own(self.std) + own(self.mean)

    def logits(self, answers: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
        return (answers - self.mean) / self.std

    def predicted(self, answers: Float[np.ndarray, "... k"]) -> Numbers:
        return answers

    def top(self, answer: Float[np.ndarray, "... k"], count: int) -> list[tuple[str, float]]:
        del count
        return list(zip(self.names, answer.tolist(), strict=True))

    def line(self, name: str, number: float) -> str:
        return f"{number:.4g}  {name}"


_TASKS = {task.name: task for task in (Classification, Multilabel, Segmentation, Tokens)}


def make_task(
    name: TaskName,
    names: Sequence[str],
    mean: Sequence[float] | Float[np.ndarray, " k"] | None = None,
    std: Sequence[float] | Float[np.ndarray, " k"] | None = None,
) -> Task:
    """The task of a name; `mean` and `std` of the training labels, where they are numbers."""
    if name == "regression":
        return Regression(tuple(names), np.asarray(mean, np.float32), np.asarray(std, np.float32))
    return _TASKS[name](tuple(names))


def task_of(data: Dataset) -> Task:
    """The task that a data set sets."""
    return make_task(data.task, data.class_names, data.label_mean, data.label_std)


def hits(logits: Array, label: Array) -> Bool[Array, "*batch"] | None:
    """Where the highest score is the label's; None where the label is neither classes nor targets
    of several."""
    if are_classes(logits, label):
        return jnp.argmax(logits, -1) == label
    if label.shape == logits.shape and label.ndim > 1 and label.shape[-1] > 1:
        return jnp.argmax(logits, -1) == jnp.argmax(label, -1)
    return None


def counted(logits: Array, label: Array) -> Bool[Array, "..."] | None:
    """Which positions have a class; None where labels are not classes of positions."""
    return label != NO_LABEL if label.ndim > 1 and are_classes(logits, label) else None
