"""Pictures of several digits, with labels for the tasks that are not one class each."""

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.embedded import check_sizes
from cnnlab.data.labels import TaskName
from cnnlab.data.splits import ArraySplit, Placement

_DIGIT = 8  # the side of one
_CELL = 12  # the side of the cell that it lies in, somewhere
_SIDE = 2 * _CELL
_TASKS: dict[str, tuple[TaskName, tuple[str, ...]]] = {
    "present": ("multilabel", tuple("0123456789")),
    "sum": ("regression", ("number of digits", "sum of digits")),
    "map": ("segmentation", (*"0123456789", "background")),
}


@checked
def scattered_digits(
    *,
    labels: Literal["present", "sum", "map"] = "present",
    train_size: int = 4000,
    test_size: int = 1000,
    seed: int = 0,
    val_fraction: float | int = 0.1,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Pictures `(24, 24, 1)` uint8 with none to four of scikit-learn's digits, values 0..16.

    Each quarter of a picture holds a digit or none, somewhere in it. Those of the test pictures
    were written by other people than those of the training pictures.

    **Arguments:** `labels`, what is asked:

    - `"present"`: which digits there are, ten labels of 0 or 1;
    - `"sum"`: two numbers, how many digits there are and their sum;
    - `"map"`: the class of each position, which of the ten digits or the background. A digit's are
        the positions where it is darker than a quarter.

    **Raises:** `ValueError`: no examples, or more than fit into memory.
    """
    check_sizes(_SIDE**2 * 16, seed, train_size=train_size, test_size=test_size)
    with warnings.catch_warnings():
        # scikit-learn's own imports of SciPy deprecate something with every release.
        warnings.simplefilter("ignore", DeprecationWarning)
        from sklearn.datasets import load_digits
    bunch = load_digits()
    assert not isinstance(bunch, tuple)  # that is for return_X_y
    first_test = round(0.8 * len(bunch.images))
    task, names = _TASKS[labels]
    splits = []
    for part, (size, digits) in enumerate(
        ((train_size, slice(first_test)), (test_size, slice(first_test, None)))
    ):
        random = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, part])))
        image, digit, where = _draw(
            size, bunch.images[digits].astype(np.uint8), bunch.target[digits], random
        )
        label = _label(labels, image, digit, where)
        splits.append(ArraySplit(image[..., None], label, placement=placement, workers=workers))
    return Dataset.from_splits(
        "scattered_digits",
        *splits,
        class_names=names,
        val_fraction=val_fraction,
        origin=f"drawn from scikit-learn's digits, seed {seed}",
        high=16,
        task=task,
    )


def _draw(
    n: int,
    images: UInt8[np.ndarray, "m 8 8"],
    classes: Int32[np.ndarray, " m"] | np.ndarray,
    random: np.random.RandomState,
) -> tuple[UInt8[np.ndarray, "n 24 24"], np.ndarray, np.ndarray]:
    """`n` pictures, the digit in each quarter `(n, 4)`, -1 for none, and for each position which
    quarter's digit lies there `(n, 24, 24)`, -1 for none's."""
    count = random.randint(0, 5, n)
    # Quarters in a random order, the first `count` of which hold a digit.
    rank = random.random_sample((n, 4)).argsort(1).argsort(1)
    chosen = random.randint(0, len(images), (n, 4))
    shift = random.randint(0, _CELL - _DIGIT + 1, (n, 4, 2))
    filled = rank < count[:, None]
    image = np.zeros((n, _SIDE, _SIDE), np.uint8)
    where = np.full((n, _SIDE, _SIDE), -1, np.int8)
    step = np.arange(_DIGIT)
    for quarter in range(4):
        at = np.flatnonzero(filled[:, quarter])
        corner = np.array([quarter // 2, quarter % 2]) * _CELL + shift[at, quarter]
        rows, columns = (corner[:, axis, None] + step for axis in (0, 1))
        place = at[:, None, None], rows[:, :, None], columns[:, None, :]
        image[place] = images[chosen[at, quarter]]
        where[place] = quarter
    return image, np.where(filled, classes[chosen], -1), where


def _label(labels: str, image: np.ndarray, digit: np.ndarray, where: np.ndarray) -> np.ndarray:
    if labels == "present":
        return (digit[:, :, None] == np.arange(10)).any(1).astype(np.int32)
    if labels == "sum":
        there = digit >= 0
        return np.stack([there.sum(1), np.where(there, digit, 0).sum(1)], 1).astype(np.float32)
    its = np.take_along_axis(digit, where.reshape(len(where), -1).astype(np.int64), 1)
    return np.where((where >= 0) & (image > 4), its.reshape(where.shape), 10).astype(np.int32)
