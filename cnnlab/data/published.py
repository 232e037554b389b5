"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: found or fetched as they were published, prepared
once by this project's builders, and read."""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cnnlab.arguments import checked, one_of
from cnnlab.data import fetch
from cnnlab.data.catalogue import read_prepared
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size, pair
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.obtain import obtain, tfds_dir
from cnnlab.data.prepared import intact, prepared_builder
from cnnlab.data.records import open_split
from cnnlab.data.splits import ArraySplit, DataError, Placement

if TYPE_CHECKING:
    from cnnlab.data.builders.published import PublishedBuilder


@dataclasses.dataclass(frozen=True, eq=False)
class Published:
    """A published data set: `mnist()` is its `Dataset`.

    Taken from the first that works: what is prepared already in `data_dir`, by this project's
    builder or TFDS's own; `source`, where the files are; the builder's own ways to get them; TFDS's
    download. Needs no TensorFlow.

    - `builder`: its class, `"package.Class"` below `cnnlab.data.builders`.
    - `labels`: its labels as `label` has them, with the names that the builder gives them.
    """

    builder: str
    labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"label": "label"})

    @checked
    def __call__(
        self,
        *,
        label: str | None = None,
        val_fraction: float | int = 0.1,
        train_split: str = "train",
        test_split: str = "test",
        size: Size | None = None,
        source: str | Path | None = None,
        data_dir: str | Path | None = None,
        placement: Placement = "auto",
        workers: int = 0,
    ) -> Dataset:
        """Get the data set, and read it.

        **Arguments:**

        - `label`: which of its labels, where it has several; the first if not given.
        - `source`: the files to prepare it from, which then are the only way to get it.
        - `data_dir`: the folder of prepared data sets; TFDS's own if not given.
        - the others are those of `tfds_dataset`.

        **Raises:** `DataError`: no way to get the data works (it lists them), or something is
        damaged. `ValueError`: `source` is not such files, or other examples than those in it are
        prepared already.
        """
        label_key = self.labels[one_of("label", label or next(iter(self.labels)), self.labels)]
        pair(size)
        package, _, name = self.builder.partition(".")
        builder = getattr(importlib.import_module(f"cnnlab.data.builders.{package}"), name)
        folder = _obtained(builder, source, tfds_dir(data_dir), label_key)
        return read_prepared(
            builder.name,
            folder,
            label_key=label_key,
            class_names=builder.LABELS[label_key],
            published=builder.PUBLISHED,
            val_fraction=val_fraction,
            train_split=train_split,
            test_split=test_split,
            size=size,
            placement=placement,
            workers=workers,
        )


fashion_mnist = Published("fashion_mnist.FashionMnist")
"""Fashion-MNIST (Xiao et al., 2017): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

`source` is a folder with the four IDX files. Ways of its own: the folder of the Debian package
dataset-fashion-mnist; that package, fetched with `apt-get download` and unpacked into the user's
cache."""

mnist = Published("mnist.Mnist")
"""MNIST (LeCun et al., 1998): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

`source` is a folder with the four IDX files."""

cifar10 = Published("cifar10.Cifar10")
"""CIFAR-10 (Krizhevsky, 2009): 50,000 + 10,000 images `(32, 32, 3)` uint8, 10 classes.

`source` is the published archive cifar-10-binary.tar.gz or the folder it unpacks to."""

cifar100 = Published("cifar100.Cifar100", {"fine": "label", "coarse": "coarse_label"})
"""CIFAR-100 (Krizhevsky, 2009): 50,000 + 10,000 images `(32, 32, 3)` uint8; `label`: the 100
`"fine"` classes or the 20 `"coarse"` ones.

`source` is the published archive cifar-100-binary.tar.gz or the folder it unpacks to."""


def _obtained(
    builder: "type[PublishedBuilder]", source: str | Path | None, root: Path, label_key: str
) -> Path:
    """The folder below `root` where a data set is prepared, now if it was not."""
    given = None if source is None else Path(source).expanduser()
    if given is not None and not builder.is_source(given):
        raise ValueError(f"source: expected {builder.source_is()}, got {source}")
    target = root / builder.name / str(builder.VERSION)
    there = target.is_dir()
    download = f"TFDS's download from {builder.URL}", fetch.reachable(builder.URL)
    ways = [*builder.ways(), download] if given is None else [(str(given), lambda: given)]
    advice = (
        f"connect to the network; or {builder.ADVICE}give {builder.source_is()}, data.source=<path>"
        f" (from {builder.URL}); or a folder where TFDS has prepared it, data.data_dir=<folder>"
    )
    folder = obtain(builder, target, ways, advice, stock=given is None)
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
    return folder


def _held(builder: "type[PublishedBuilder]", source: Path) -> str:
    """The fingerprint that a data set's published files give when they are prepared."""
    try:
        splits = [builder.read(source, split) for split in ("train", "test")]
    except ValueError as error:
        raise DataError(f"{builder.name}: {error}") from error
    label_key = next(iter(builder.LABELS))
    return fingerprint(
        *(ArraySplit(images, labels[label_key].astype(int)) for images, labels in splits)
    )


def _prepared_there(builder: "type[PublishedBuilder]", folder: Path) -> str:
    label_key = next(iter(builder.LABELS))
    return fingerprint(
        *(open_split(folder, split, label_key=label_key) for split in ("train", "test"))
    )
