"""Images and labels in an `.npz` file, by the names that files give them."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.machine import memory

# How files name the images and the labels of a split, and where there is one split only.
_NAMES = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))
_WHOLE = (("x", "y"), ("images", "labels"), ("image", "label"))
_SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def read_npz(place: Path) -> dict[str, Any]:
    """Images and labels of each split of a file; nothing is unpickled.

    **Raises:** `ValueError` that begins with `file`.
    """
    try:
        with zipfile.ZipFile(place) as archive:
            announced = sum(entry.file_size for entry in archive.infolist())
        if announced > memory():
            raise ValueError(f"it announces {announced:,} bytes, more than the memory here")
        with np.load(place, allow_pickle=False) as content:
            names = _names(place, content.files)
            return {split: tuple(content[name] for name in both) for split, both in names.items()}
    except _Wrong:
        raise
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise ValueError(f"file: {place} can't be read: {reason}") from error
    except Exception as error:  # whatever a damaged archive makes its readers run into
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"file: expected an .npz of arrays of numbers or texts, {place} is none: {reason[:200]}"
        ) from error


class _Wrong(ValueError):
    """What is not a damage of the file: it is in order, and holds something else."""


def _names(place: Path, held: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The names of images and labels of each split among those that a file holds."""
    found: dict[str, tuple[str, str]] = {}
    for x, y in _NAMES:
        for split, called in _SPLITS.items():
            for pair in ((x.format(name), y.format(name)) for name in called):
                if set(pair) & set(held):
                    found[split] = pair
    for pair in _WHOLE:
        if not found and set(pair) & set(held):
            found["train"] = pair
    missing = [name for pair in found.values() for name in pair if name not in held]
    if "train" not in found or missing:
        lacking = f" without {', '.join(missing)}" if missing else ""
        raise _Wrong(
            "file: expected x_train and y_train, x_test and y_test (train_images and train_labels,"
            f" ...), or x and y; {place} holds {', '.join(held) or 'nothing'}{lacking}"
        )
    return found
