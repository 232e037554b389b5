"""What the labels of a data set are, and so the task that they set."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from cnnlab.data.pictures import PictureSplit
from cnnlab.data.splits import ArraySplit, DataError, Labels, Split

TaskName = Literal["classification", "multilabel", "regression", "segmentation"]
"""Labels of `n` images are

- `classification`: a class each, `(n,)`;
- `multilabel`: any of `k` labels each, `(n, k)` of 0 and 1;
- `regression`: `k` numbers each, `(n, k)`;
- `segmentation`: a class at each position, `(n, *spatial)`.
"""
TASKS: tuple[TaskName, ...] = get_args(TaskName)


def check_labels(
    name: str, split: str, examples: ArraySplit, names: Sequence[str], task: TaskName
) -> None:
    """Refuse labels that are not those of a task.

    **Arguments:** `name` of the data set, `split` of its part, for the message; `names`, of the
    classes, the labels or the numbers.

    **Raises:** `DataError`.
    """
    label, k = examples.label, len(names)
    n, *positions = examples.image.shape[:-1]
    expected, shape = {
        "classification": ("one class for each example", (n,)),
        "multilabel": (f"{k} labels of 0 or 1 for each example", (n, k)),
        "regression": (f"{k} finite numbers for each example", (n, k)),
        "segmentation": ("a class at each position", (n, *positions)),
    }[task]
    classes = task in ("classification", "segmentation")
    if label.shape != shape or (classes and label.dtype.kind == "f"):
        raise DataError(
            f"{name}: expected {expected}, the split {split} has {label.dtype}{list(label.shape)}"
        )
    if classes:
        low, high = int(label.min()), int(label.max())
        if low < 0 or high >= k:
            raise DataError(
                f"{name}: expected labels from 0 to {k - 1}, the split {split} has"
                f" {low if low < 0 else high}"
            )
        return
    right = np.isfinite(label) if task == "regression" else (label == 0) | (label == 1)
    if not right.all():
        raise DataError(f"{name}: expected {expected}, the split {split} has {label[~right][0]}")


def labels_of(split: Split) -> Labels:
    """The labels of all examples; where they are streamed from records, these are read for it."""
    if isinstance(split, ArraySplit | PictureSplit):
        return split.label
    pieces = np.array_split(np.arange(len(split)), max(1, len(split) // 1024))
    return np.concatenate([split.take(piece)[1] for piece in pieces])


def scale(label: Labels) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Mean and standard deviation `(k,)` of numbers `(n, k)`; 1 for one that never changes."""
    wide = label.astype(np.float64)
    std = wide.std(0)
    return wide.mean(0).astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)
