"""A data set of what a program has at hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnlab.data.archive import from_arrays
from cnnlab.data.dataset import Dataset


def as_dataset(data: Any) -> Dataset:
    """A data set as it is; of arrays, what `from_arrays` makes of copies of them.

    **Arguments:** `data`, a `Dataset`; images and labels, of which shares become the test and the
    validation split; or `{"train": (images, labels), "test": ...}`, and `"val"` where there is one.

    **Raises:** `ValueError` that begins with `data`; `DataError` for labels without a class.
    """
    if isinstance(data, Dataset):
        return data
    splits = data if isinstance(data, Mapping) else {"train": data}
    if not {"train"} <= splits.keys() <= {"train", "val", "test"}:
        raise ValueError(f"data: expected train, and maybe val and test, got {list(splits)}")
    try:
        copies = {name: (np.array(x), np.array(y)) for name, (x, y) in splits.items()}
        test, val = copies.get("test"), copies.get("val")
        return from_arrays(copies["train"], test, val, origin="passed in")
    except (TypeError, ValueError) as error:
        raise ValueError(f"data: expected images and their labels: {error}") from error
