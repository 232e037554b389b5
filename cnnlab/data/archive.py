"""One's own arrays: passed in, or from an `.npz` file."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset, validation_split
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.labels import NO_LABEL, PER_POSITION, TaskName, in_shape, labels_of
from cnnlab.data.npz import read_npz
from cnnlab.data.sequences import token_type
from cnnlab.data.splits import (
    NUMBERS,
    ArraySplit,
    Placement,
    Split,
    are_tokens,
    as_labels,
    places,
)

_log = logging.getLogger(__name__)

Channels = Literal["auto", "last", "first", "none"]
Examples = tuple[Shaped[np.ndarray, "n ..."], Shaped[np.ndarray, "n ..."]]
"""Images and labels."""

_HIGHEST = 65_535
_SHOWN = 8


@checked
def arrays(
    file: str | Path,
    *,
    task: TaskName = "classification",
    channels: Channels = "auto",
    class_names: Sequence[str] | None = None,
    ignore_label: int | None = None,
    vocabulary: int | None = None,
    val_fraction: float | int = 0.1,
    test_fraction: float | int = 0.2,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Images and labels of an `.npz` file, as `numpy.savez` writes it; never unpickled.

    It holds `x_train`, `y_train`, `x_test`, `y_test` (and `x_val`, `y_val`), or `train_images`,
    `train_labels` and so on; or `x` and `y`, or `images` and `labels`, of which a share is taken
    for the test.

    **Arguments:** as `from_arrays` takes them.

    **Raises:** `ValueError` that begins with the argument's name: no such file, other arrays, those
    of objects, and what `from_arrays` refuses.
    """
    place = Path(file).expanduser()
    found = read_npz(place)
    return from_arrays(
        found.pop("train"),
        **found,
        task=task,
        channels=channels,
        class_names=class_names,
        ignore_label=ignore_label,
        vocabulary=vocabulary,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        placement=placement,
        workers=workers,
        origin=f"in {place}",
    )


@checked
def from_arrays(
    train: tuple,
    test: tuple | None = None,
    val: tuple | None = None,
    *,
    task: TaskName = "classification",
    channels: Channels = "auto",
    class_names: Sequence[str] | None = None,
    ignore_label: int | None = None,
    vocabulary: int | None = None,
    val_fraction: float | int = 0.1,
    test_fraction: float | int = 0.2,
    placement: Placement = "auto",
    workers: int = 0,
    origin: str = "passed in",
) -> Dataset:
    """A data set of arrays: of each split images `(n, *spatial, c)`, or tokens `(n, length)`, and
    labels.

    uint8 images are kept, others become float32 (uint16 has its white at 65535).

    **Arguments:**

    - `task`: what the labels are (`data.TaskName`). Classes `(n,)` from 0, or texts, of which each
      is a class, in the order of letters; several labels `(n, k)` of 0 and 1; numbers `(n,)` or
      `(n, k)`; classes of all positions `(n, *spatial)`, from 0; of `tokens`, `(n, length)`.
    - `channels`: where the images' channel axis is: `"last"`, `"first"` (after the examples'), or
      `"none"`, which gives them one channel. `"auto"`: last where there are four axes or more of
      which the last has up to 4 entries; none of two axes, and of three where they are uint8;
      others could be more than one thing, and are refused.
    - `class_names`: of the classes where they are whole numbers, of the labels or of the numbers;
      0, 1, ... if not given.
    - `vocabulary`: how many tokens there are, where the examples are tokens, whole numbers from 0;
      for the task `tokens`, which is about these, one more than the largest if not given.
    - `ignore_label`: what positions that have no class are labelled with, such as 255: they count
      neither in losses nor in scores. -1 always says so.
    - `val_fraction`, `test_fraction`: shares of `train`, where there is no `val` or `test`.
    - `origin`: where the data came from, in words.

    **Raises:** `ValueError` that begins with the argument's name, `DataError` for labels without a
    class.
    """
    of_tokens = task == "tokens" or vocabulary is not None
    if of_tokens and channels != "auto":
        raise ValueError(f"channels: expected auto for tokens, which have none, got {channels}")
    given = {"train": train, "val": val, "test": test}
    images, labels = {}, {}
    for split, pair in given.items():
        if pair is None:
            continue
        if len(pair) != 2:
            raise ValueError(f"{split}: expected (images, labels), got {len(pair)} arrays")
        image, label = (np.asarray(array) for array in pair)
        images[split] = (
            _tokens(split, image) if of_tokens else _with_channels(split, image, channels)
        )
        labels[split] = in_shape(split, label, places(images[split]), task)
    if of_tokens:
        if vocabulary is None:
            vocabulary = 1 + max(int(image.max()) for image in images.values())
        if not 1 <= vocabulary <= _HIGHEST + 1:
            raise ValueError(
                f"vocabulary: expected from 1 to {_HIGHEST + 1:,} tokens, got {vocabulary:,}"
            )
    if ignore_label is not None:
        if task not in PER_POSITION:
            raise ValueError(
                f"ignore_label: expected None for {task}, as only a position may have no class, "
                f"got {ignore_label}"
            )
        for split, label in labels.items():
            labels[split] = np.where(label == ignore_label, NO_LABEL, as_labels(label))
    shapes = {split: image.shape[1:] for split, image in images.items()}
    for split, shape in shapes.items():
        if shape != shapes["train"]:
            raise ValueError(
                f"{split}: expected images of shape {list(shapes['train'])}, as those to train on,"
                f" got {list(shape)}"
            )
    texts = {split: label.dtype.kind in "US" for split, label in labels.items()}
    classes = task == "classification" or task in PER_POSITION
    if any(texts.values()):
        names, labels = _classes(labels, texts, class_names)
    elif class_names is not None:
        names = list(class_names)
        if not classes and len(names) != (count := labels["train"].shape[1]):
            raise ValueError(
                f"class_names: expected {count} names, one for each column of the labels, got"
                f" {len(names)}"
            )
    elif classes:
        top = max((int(label.max()) for label in labels.values() if label.size), default=0)
        if top > _HIGHEST:
            raise ValueError(f"train: expected classes from 0 to {_HIGHEST:,}, got {top:,}")
        names = [str(k) for k in range(top + 1)]
    else:
        names = [str(k) for k in range(labels["train"].shape[1])]
    if classes and len(names) < 2:
        got = f"only {names[0]!r}" if names else "none"
        raise ValueError(f"train: expected labels of 2 or more classes, got {got}")
    white = not of_tokens and all(image.dtype == np.uint16 for image in images.values())
    high = 65535 if white else None
    options: Any = {"placement": placement, "workers": workers}
    splits: dict[str, Split] = {
        split: ArraySplit(images[split], labels[split], **options) for split in images
    }
    made = fingerprint(*splits.values(), whole=True, names=names if any(texts.values()) else ())
    if "test" not in splits:
        if test_fraction == 0:
            raise ValueError(
                "test_fraction: expected a number above 0, where there is no test, got 0"
            )
        kept, held = validation_split(len(images["train"]), test_fraction, 1, "test_fraction")
        splits |= {"train": splits["train"].select(kept), "test": splits["train"].select(held)}
    data = Dataset.from_splits(
        "arrays",
        splits["train"],
        splits["test"],
        val=splits.get("val"),
        class_names=names,
        val_fraction=val_fraction,
        origin=origin,
        high=high,
        fingerprint=made,
        task=task,
        vocabulary=vocabulary,
    )
    if not of_tokens:  # of which many need not come up
        _remark(data)
    return data


def _remark(data: Dataset) -> None:
    """Say which classes, or labels, no training example has."""
    label = labels_of(data.train)
    there = np.ones(data.num_classes, bool)
    if data.task == "multilabel":
        there = np.asarray(label.any(0))
    elif data.task != "regression":
        there[:] = False
        for piece in np.array_split(label.reshape(-1), 1 + label.size // 2**24):
            there[piece[piece != NO_LABEL]] = True
    if not there.all():
        without = [data.class_names[k] for k in np.flatnonzero(~there)]
        shown = ", ".join(map(repr, without[:_SHOWN])) + ", ..." * (len(without) > _SHOWN)
        hint = data.task == "segmentation" and data.class_names[-1] == "255"
        _log.warning(
            "no training example has %d of %d labels: %s%s",
            *(len(without), len(there), shown),
            "; data.ignore_label=255 leaves out positions without a class" * hint,
        )


def _tokens(split: str, examples: np.ndarray) -> np.ndarray:
    """Whole numbers, those that could be tokens in the type that sequences are kept in."""
    if not are_tokens(examples) or 0 in examples.shape:
        raise ValueError(
            f"{split}: expected tokens, whole numbers (n, length), got {examples.dtype}"
            f" {list(examples.shape)}"
        )
    low, high = int(examples.min()), int(examples.max())
    if not 0 <= low <= high <= _HIGHEST:
        raise ValueError(
            f"{split}: expected tokens from 0 to {_HIGHEST:,}, got {low if low < 0 else high:,}"
        )
    return examples.astype(token_type(high + 1))


def _with_channels(split: str, image: np.ndarray, channels: Channels) -> np.ndarray:
    """Images with their channels last."""
    shape = list(image.shape)
    if image.dtype.kind not in NUMBERS:
        raise ValueError(f"{split}: expected images of numbers, got {image.dtype}")
    if channels == "auto":
        if len(shape) == 2 or (len(shape) == 3 and image.dtype == np.uint8):
            channels = "none"
        elif len(shape) > 3 and shape[-1] <= min(4, shape[1]):
            channels = "last"
        else:
            raise ValueError(
                f"channels: expected last, first or none, where the channels of images {shape} of"
                f" {image.dtype} are, got auto, which can't tell"
            )
    if channels == "none":
        image = image[..., None]
    elif channels == "first" and image.ndim > 2:
        image = np.moveaxis(image, 1, -1)
    if image.ndim < 3 or 0 in image.shape:
        raise ValueError(
            f"{split}: expected at least 1 image (n, *spatial, c), got {shape} with channels"
            f" {channels}"
        )
    return np.ascontiguousarray(image)


def _classes(
    labels: Mapping[str, np.ndarray],
    texts: Mapping[str, bool],
    class_names: Sequence[str] | None,
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of classes, and texts as their numbers."""
    if class_names is not None or not all(texts.values()):
        what = "class_names" if all(texts.values()) else "train"
        raise ValueError(f"{what}: expected either texts as labels, or whole numbers, got both")
    names = np.unique(np.concatenate(list(labels.values())))
    wrong = [name for name in map(str, names) if not name.isprintable() or not name]
    if wrong:
        raise ValueError(f"train: expected labels that can be printed, got {wrong[0]!r}")
    return list(map(str, names)), {s: np.searchsorted(names, label) for s, label in labels.items()}
