"""A data set of what a program has in memory."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnlab.data.dataset import Dataset, validation_split
from cnnlab.data.splits import ArraySplit, Split

_HELD_OUT = 0.2
_TO_VALIDATE = 0.1


def as_dataset(data: Any) -> Dataset:
    """A data set as it is; of arrays, one of classification.

    **Arguments:** `data`, a `Dataset`; images `(n, *spatial, c)` and classes `(n,)`, of which a
    fifth, drawn once and for all, becomes the test split; or `{"train": (images, classes), "test":
    ...}`, and `"val"` if there is one. Where there is none it is a tenth of the training examples.
    The arrays are copied.

    **Raises:** `ValueError` that begins with `data`; `DataError` for labels that are no classes.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Mapping):
        if not {"train", "test"} <= data.keys() <= {"train", "val", "test"}:
            raise ValueError(f"data: expected train, test and maybe val, got {list(data)}")
        splits = {name: _split(name, one) for name, one in data.items()}
    else:
        whole = _split("train", data)
        kept, held = validation_split(len(whole), _HELD_OUT)
        splits = {"train": whole.select(kept), "test": whole.select(held)}
    count = 1 + max(int(split.label.max(initial=0)) for split in splits.values())
    found = Dataset.from_splits(
        "arrays",
        splits["train"],
        splits["test"],
        class_names=[str(i) for i in range(count)],
        val_fraction=0 if "val" in splits else _TO_VALIDATE,
        origin="given as arrays",
    )
    return dataclasses.replace(found, val=splits.get("val", found.val))


def _split(name: str, examples: Any) -> ArraySplit:
    if isinstance(examples, Split):
        return examples.in_memory()
    try:
        image, label = examples
        return ArraySplit(np.array(image), np.array(label))
    except (TypeError, ValueError) as error:
        raise ValueError(f"data: {name}: expected images and their labels ({error})") from error
