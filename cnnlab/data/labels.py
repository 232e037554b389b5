"""What the labels of a data set are, and so the task that they set."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Shaped

from cnnlab.data.pictures import PictureSplit
from cnnlab.data.splits import ArraySplit, DataError, Labels, Split, places

TaskName = Literal["classification", "multilabel", "regression", "segmentation", "tokens"]
"""Labels of `n` examples are

- `classification`: a class each, `(n,)`;
- `multilabel`: any of `k` labels each, `(n, k)` of 0 and 1;
- `regression`: `k` numbers each, `(n, k)`;
- `segmentation`: a class at each position, `(n, *spatial)`, or `NO_LABEL`;
- `tokens`: the same of sequences, `(n, length)`: the next token, say, or an answer where there is
  one.
"""
TASKS: tuple[TaskName, ...] = get_args(TaskName)
PER_POSITION: tuple[TaskName, ...] = ("segmentation", "tokens")
NO_LABEL = -1
"""The label of a position that has none: it counts neither in losses nor in scores."""


def check_labels(
    name: str, split: str, examples: ArraySplit, names: Sequence[str], task: TaskName
) -> None:
    """Refuse labels that are not those of a task.

    **Arguments:** `name` of the data set, `split` of its part, for the message; `names`, of the
    classes, the labels or the numbers.

    **Raises:** `DataError`.
    """
    label, k = examples.label, len(names)
    n, *positions = places(examples.image)
    expected, shape = {
        "classification": ("one class for each example", (n,)),
        "multilabel": (f"{k} labels of 0 or 1 for each example", (n, k)),
        "regression": (f"{k} finite numbers for each example", (n, k)),
        **dict.fromkeys(PER_POSITION, ("a class at each position", (n, *positions))),
    }[task]
    classes = task == "classification" or task in PER_POSITION
    if label.shape != shape or (classes and label.dtype.kind == "f"):
        raise DataError(
            f"{name}: expected {expected}, the split {split} has {label.dtype}{list(label.shape)}"
        )
    if classes:
        low, high = int(label.min()), int(label.max())
        least = NO_LABEL if task in PER_POSITION else 0
        if low < least or high >= k:
            raise DataError(
                f"{name}: expected labels from 0 to {k - 1}, the split {split} has"
                f" {low if low < least else high}"
            )
        if high < 0:
            raise DataError(f"{name}: no position of the split {split} has a label")
        return
    right = np.isfinite(label) if task == "regression" else (label == 0) | (label == 1)
    if not right.all():
        raise DataError(f"{name}: expected {expected}, the split {split} has {label[~right][0]}")


def in_shape(
    split: str, label: Shaped[np.ndarray, "n ..."], places: tuple[int, ...], task: TaskName
) -> Shaped[np.ndarray, "n ..."]:
    """Labels in the shape that a task has them in, for examples at `places`, `(n, *spatial)`.

    **Arguments:** `split`, the name of the part, for the message.

    **Raises:** `ValueError`: labels that are not the task's.
    """
    n, hint = places[0], ""
    if task == "classification":
        shape, kinds, expected = (n,), "buiUS", f"{n} labels that are whole numbers or texts"
        hint = "; task=regression takes numbers, task=multilabel several labels"
    elif task in PER_POSITION:
        shape, kinds = places, "bui"
        expected = f"a whole number for each position {list(places)}"
    else:
        shape, kinds = (n, label.shape[1] if label.ndim == 2 else 1), "buif"
        expected = f"{n} rows of {'numbers' if task == 'regression' else '0 and 1'}"
    same = label.shape[:1] == (n,)
    if label.shape != shape and same and label.size == math.prod(shape):
        label = label.reshape(shape)  # an axis of length 1 at the end, more or less
    if label.shape != shape or 0 in shape or label.dtype.kind not in kinds:
        raise ValueError(
            f"{split}: expected {expected}, as many as images, got {label.dtype}"
            f" {list(label.shape)}{hint if same else ''}"
        )
    if label.dtype.kind == "S":
        try:
            return np.char.decode(label, "utf-8")
        except UnicodeDecodeError as error:
            wrong = error.object
            raise ValueError(f"{split}: expected labels in UTF-8, got {wrong!r:.60}") from error
    if task == "regression":
        with np.errstate(over="ignore"):  # beyond float32's range: inf, which `Dataset` refuses
            return label.astype(np.float32)
    return label.astype(int) if label.dtype.kind == "b" else label


def labels_of(split: Split) -> Labels:
    """The labels of all examples; where they are streamed from records, these are read for it."""
    if isinstance(split, ArraySplit | PictureSplit):
        return split.label
    pieces = np.array_split(np.arange(len(split)), max(1, len(split) // 1024))
    return np.concatenate([split.take(piece)[1] for piece in pieces])


def scale(label: Labels) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Mean and standard deviation `(k,)` of numbers `(n, k)`; 1 for one that never changes."""
    wide = label.astype(np.float64)
    return wide.mean(0).astype(np.float32), at_least_tiny(wide.std(0))


def at_least_tiny(std: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Standard deviations in float32; 1 for what float32 can't divide by."""
    return np.where(std >= np.finfo(np.float32).tiny, std, 1.0).astype(np.float32)
