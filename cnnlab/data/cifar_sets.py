"""CIFAR-10 and CIFAR-100: fetched or given, prepared once by this project's builders, and read."""

from pathlib import Path
from typing import Any, Literal

from cnnlab.data import cifar, fetch
from cnnlab.data.catalogue import read_published
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size
from cnnlab.data.obtain import Way
from cnnlab.data.splits import Placement

_LABELS = {"fine": "label", "coarse": "coarse_label"}


def cifar10(
    *,
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    size: Size | None = None,
    source: str | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """CIFAR-10 (Krizhevsky, 2009): 50,000 + 10,000 images `(32, 32, 3)` uint8, 10 classes.

    What is prepared already in `data_dir`, by this project's builder or TFDS's own; else from
    `source`, the published archive cifar-10-binary.tar.gz or the folder it unpacks to; else from
    TFDS's download of that archive. Needs no TensorFlow. `size`, `train_split` and `test_split`
    are as in `tfds_dataset`.

    Raises `DataError` that lists these ways where none works, or names what is damaged.
    """
    from cnnlab.data.builders.cifar10 import Cifar10

    return read_published(
        Cifar10,
        *_ways(Cifar10),
        source=_given(Cifar10, source),
        data_dir=data_dir,
        val_fraction=val_fraction,
        train_split=train_split,
        test_split=test_split,
        size=size,
        placement=placement,
        workers=workers,
    )


def cifar100(
    *,
    label: Literal["fine", "coarse"] = "fine",
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    size: Size | None = None,
    source: str | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 images `(32, 32, 3)` uint8.

    `label`: the 100 `"fine"` classes or the 20 `"coarse"` ones. Otherwise as `cifar10`, from
    cifar-100-binary.tar.gz.
    """
    from cnnlab.data.builders.cifar100 import Cifar100

    if label not in _LABELS:
        raise ValueError(f"label: expected one of {', '.join(_LABELS)}, got {label!r}")
    return read_published(
        Cifar100,
        *_ways(Cifar100),
        source=_given(Cifar100, source),
        data_dir=data_dir,
        val_fraction=val_fraction,
        train_split=train_split,
        test_split=test_split,
        label_key=_LABELS[label],
        size=size,
        placement=placement,
        workers=workers,
    )


def _ways(builder: Any) -> tuple[list[Way], str]:
    """Where to get the archive from, and what to advise where that does not work."""
    advice = (
        f"connect to the network; or download {builder.URL} and give it,"
        f" data.source={_archive(builder)}; or give a folder where TFDS has prepared it,"
        " data.data_dir=<folder>"
    )
    return [(f"TFDS's download from {builder.URL}", fetch.reachable(builder.URL))], advice


def _archive(builder: Any) -> str:
    return builder.URL.rpartition("/")[2]


def _given(builder: Any, source: str | None) -> Path | None:
    """The archive or folder that the user names."""
    if source is None:
        return None
    given = Path(source).expanduser()
    if not cifar.is_source(given, builder.FOLDER, builder.FILES["test"][0]):
        raise ValueError(
            f"source: expected the archive {_archive(builder)}, or the folder {builder.FOLDER}"
            f" that it unpacks to, got {source}"
        )
    return given
