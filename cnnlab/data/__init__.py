"""Data: sources, TFDS builders, batches, augmentation, synthetic tasks.

The names below load their module at first use; none of them imports a data library before it is
called.
"""

import importlib
from typing import Any

_EXPORTS = {
    "Batch": "batches",
    "Dataset": "dataset",
    "Split": "splits",
    "TaskName": "labels",
    "ArraySplit": "splits",
    "SourceSplit": "splits",
    "epoch_order": "batches",
    "loader": "loaders",
    "statistics": "dataset",
    "fashion_mnist": "published",
    "mnist": "published",
    "cifar10": "published",
    "cifar100": "published",
    "tfds_dataset": "catalogue",
    "folder": "folders",
    "table": "tables",
    "arrays": "archive",
    "from_arrays": "archive",
    "mnist1d": "embedded",
    "digits": "embedded",
    "quadratic": "embedded",
    "fake": "embedded",
    "scattered_digits": "scenes",
    "recall": "sequences",
    "induction": "sequences",
    "copying": "sequences",
    "listops": "expressions",
    "stdlib_bytes": "text",
    "fashion_sequence": "pixels",
}
_SUBMODULES = ("augment", "perturb")

__all__ = [*_EXPORTS, *_SUBMODULES]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"cnnlab.data.{_EXPORTS[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"cnnlab.data.{name}")
    raise AttributeError(f"module 'cnnlab.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
