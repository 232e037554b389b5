"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: found or fetched as they were published, prepared
once by this project's builders, and read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from cnnlab.arguments import checked
from cnnlab.data import fetch
from cnnlab.data.catalogue import read_prepared
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size, pair
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.obtain import Way, obtain, tfds_dir
from cnnlab.data.prepared import intact, prepared_builder
from cnnlab.data.records import open_split
from cnnlab.data.splits import ArraySplit, DataError, Placement

_LABELS = {"fine": "label", "coarse": "coarse_label"}


@checked
def fashion_mnist(
    *,
    val_fraction: float | int = 0.1,
    size: Size | None = None,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Fashion-MNIST (Xiao et al., 2017): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

    Taken from the first that works: what is prepared already in `data_dir`; the folder of the
    Debian package dataset-fashion-mnist; that package, fetched with `apt-get download` and
    unpacked into the user's cache; TFDS's own download. `source` is a folder with the four IDX
    files to prepare it from instead. `size`: a side or `(height, width)` that images are resized
    to.

    Raises `DataError` that lists the ways to get the data where none works, or names what is
    damaged, and `ValueError` where other examples than those in `source` are prepared already.
    """
    from cnnlab.data.builders.fashion_mnist import FashionMnist

    return _read(
        FashionMnist,
        [
            (f"the folder {fetch.DEBIAN_FOLDER}", fetch.debian_folder),
            ("apt-get download dataset-fashion-mnist", fetch.debian_package),
        ],
        "`sudo apt-get install dataset-fashion-mnist` (Debian, Ubuntu); or ",
        source=source,
        data_dir=data_dir,
        val_fraction=val_fraction,
        size=size,
        placement=placement,
        workers=workers,
    )


@checked
def mnist(
    *,
    val_fraction: float | int = 0.1,
    size: Size | None = None,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """MNIST (LeCun et al., 1998): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

    What is prepared already in `data_dir`, else from the IDX files in the folder `source`, else
    TFDS's own download. Raises `DataError` that lists these ways where none works, or names what
    is damaged.
    """
    from cnnlab.data.builders.mnist import Mnist

    return _read(
        Mnist,
        source=source,
        data_dir=data_dir,
        val_fraction=val_fraction,
        size=size,
        placement=placement,
        workers=workers,
    )


@checked
def cifar10(
    *,
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    size: Size | None = None,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
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

    return _read(
        Cifar10,
        train_split=train_split,
        test_split=test_split,
        source=source,
        data_dir=data_dir,
        val_fraction=val_fraction,
        size=size,
        placement=placement,
        workers=workers,
    )


@checked
def cifar100(
    *,
    label: Literal["fine", "coarse"] = "fine",
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    size: Size | None = None,
    source: str | Path | None = None,
    data_dir: str | Path | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 images `(32, 32, 3)` uint8.

    `label`: the 100 `"fine"` classes or the 20 `"coarse"` ones. Otherwise as `cifar10`, from
    cifar-100-binary.tar.gz.
    """
    from cnnlab.data.builders.cifar100 import Cifar100

    return _read(
        Cifar100,
        label_key=_LABELS[label],
        train_split=train_split,
        test_split=test_split,
        source=source,
        data_dir=data_dir,
        val_fraction=val_fraction,
        size=size,
        placement=placement,
        workers=workers,
    )


def _read(
    builder: Any,
    ways: Sequence[Way] = (),
    advice: str = "",
    *,
    source: str | Path | None,
    data_dir: str | Path | None,
    label_key: str = "label",
    size: Size | None,
    **reading: Any,
) -> Dataset:
    """A data set of this project's builder, obtained as `obtain` says, read as `read_prepared`.

    **Arguments:** `ways` of its own to get it, before TFDS's download, and the `advice` about them;
    `source`, where the user says that its files are: the only way then.

    **Raises:** `ValueError` where `source` is not such files, or other examples than those in it
    are prepared already.
    """
    pair(size)
    given = None if source is None else Path(source).expanduser()
    if given is not None and not builder.is_source(given):
        raise ValueError(f"source: expected {builder.source_is()}, got {source}")
    target = tfds_dir(data_dir) / builder.name / str(builder.VERSION)
    there = target.is_dir()
    download = f"TFDS's download from {builder.URL}", fetch.reachable(builder.URL)
    all_ways = [*ways, download] if given is None else [(str(given), lambda: given)]
    advice = (
        f"connect to the network; or {advice}give {builder.source_is()}, data.source=<path>"
        f" (from {builder.URL}); or a folder where TFDS has prepared it, data.data_dir=<folder>"
    )
    folder = obtain(builder, target, all_ways, advice, stock=given is None)
    features = prepared_builder(folder).info.features
    with intact(folder):
        shape = features["image"].shape if {"image", label_key} <= set(features) else None
        if shape != builder.SHAPE:
            raise ValueError(f"images of {shape} and a {label_key}: expected {builder.SHAPE}")
    if given is not None and there and _held(builder, given) != _prepared_there(builder, folder):
        raise ValueError(
            f"source: {source} holds other examples than those prepared in {folder};"
            f" to use it, prepare it elsewhere: data.data_dir=<folder>"
        )
    return read_prepared(
        builder.name,
        folder,
        label_key=label_key,
        class_names=builder.LABELS[label_key],
        published=builder.PUBLISHED,
        size=size,
        **reading,
    )


def _held(builder: Any, source: Path) -> str:
    """The fingerprint that a data set's published files give when they are prepared."""
    try:
        splits = [builder.read(source, split) for split in ("train", "test")]
    except ValueError as error:
        raise DataError(f"{builder.name}: {error}") from error
    label_key = next(iter(builder.LABELS))
    return fingerprint(
        *(ArraySplit(images, labels[label_key].astype(int)) for images, labels in splits)
    )


def _prepared_there(builder: Any, folder: Path) -> str:
    label_key = next(iter(builder.LABELS))
    return fingerprint(
        *(open_split(folder, split, label_key=label_key) for split in ("train", "test"))
    )
