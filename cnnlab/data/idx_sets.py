"""MNIST and Fashion-MNIST: found, fetched, prepared once by this project's builders, and read."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnlab.data import fetch
from cnnlab.data.dataset import ArraySplit, Dataset, Placement, assemble
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.idx import has_idx_files, read_split
from cnnlab.data.paths import lift, tfds_dir
from cnnlab.data.records import open_split, quiet_tfds
from cnnlab.files import appearing, locked

_log = logging.getLogger(__name__)

Way = tuple[str, Callable[[], Path | None]]
"""How a source is called in messages, and what gives its folder (None: let TFDS download)."""


def fashion_mnist(
    *,
    val_fraction: float | int = 0.1,
    source: str | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Fashion-MNIST (Xiao et al., 2017): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

    Taken from the first that works: what is prepared already in `data_dir`; the folder of the
    Debian package dataset-fashion-mnist; that package, fetched with `apt-get download` and
    unpacked into the user's cache; TFDS's own download. `source` is a folder with the four IDX
    files to prepare it from instead.

    Raises `DataError` that lists the ways to get the data where none works, and `ValueError` where
    other examples than those in `source` are prepared already.
    """
    from cnnlab.data.builders.fashion_mnist import FashionMnist

    ways = [
        (f"the folder {fetch.DEBIAN_FOLDER}", fetch.debian_folder),
        ("apt-get download dataset-fashion-mnist", fetch.debian_package),
        (f"TFDS's download from {FashionMnist.URL}", fetch.reachable(FashionMnist.URL)),
    ]
    advice = (
        "connect to the network; or `sudo apt-get install dataset-fashion-mnist` (Debian, Ubuntu);"
        " or give a folder with the four IDX files, data.source=<folder>; or a folder where TFDS"
        " has prepared it, data.data_dir=<folder>"
    )
    return _load(FashionMnist, ways, advice, source, data_dir, val_fraction, placement, workers)


def mnist(
    *,
    val_fraction: float | int = 0.1,
    source: str | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """MNIST (LeCun et al., 1998): 60,000 + 10,000 images `(28, 28, 1)` uint8, 10 classes.

    What is prepared already in `data_dir`, else from the IDX files in the folder `source`, else
    TFDS's own download. Raises `DataError` that lists these ways where none works.
    """
    from cnnlab.data.builders.mnist import Mnist

    ways = [(f"TFDS's download from {Mnist.URL}", fetch.reachable(Mnist.URL))]
    advice = (
        "connect to the network; or give a folder with the four IDX files, data.source=<folder>;"
        " or a folder where TFDS has prepared it, data.data_dir=<folder>"
    )
    return _load(Mnist, ways, advice, source, data_dir, val_fraction, placement, workers)


def _load(
    builder: Any,
    ways: list[Way],
    advice: str,
    source: str | None,
    data_dir: str | None,
    val_fraction: float | int,
    placement: Placement,
    workers: int,
) -> Dataset:
    folder = None if source is None else Path(source).expanduser()
    if folder is not None:
        if not has_idx_files(folder):
            raise ValueError(
                f"source: expected a folder with the four IDX files"
                f" (train-images-idx3-ubyte[.gz], ...), got {source}"
            )
        ways = [(f"the folder {folder}", lambda: folder)]
    target = tfds_dir(data_dir) / builder.name / str(builder.VERSION)
    prepared = target.is_dir()
    if prepared:
        _log.info("%s: already prepared in %s", builder.name, target)
    else:
        _prepare(builder, target, ways, advice)
    train, test = (
        open_split(target, split, placement=placement, workers=workers)
        for split in ("train", "test")
    )
    made = fingerprint(train, test)
    if folder is not None and prepared and made != _of_files(folder, builder):
        raise ValueError(
            f"source: {folder} holds other examples than those prepared in {target};"
            f" to use it, prepare it elsewhere: data.data_dir=<folder>"
        )
    return assemble(
        builder.name,
        train,
        test,
        class_names=builder.CLASS_NAMES,
        val_fraction=val_fraction,
        origin=f"prepared in {target}",
        fingerprint="" if made == builder.PUBLISHED else made,
    )


def _of_files(folder: Path, builder: Any) -> str:
    """The fingerprint that a folder of IDX files gives when it is prepared."""
    classes = len(builder.CLASS_NAMES)
    splits = (read_split(folder, split, num_classes=classes) for split in ("train", "test"))
    return fingerprint(*(ArraySplit(images, labels.astype(int)) for images, labels in splits))


def _prepare(builder: Any, target: Path, ways: list[Way], advice: str) -> None:
    """Prepare a data set from the first way that works, whole or not at all."""
    failures = []
    try:
        with locked(target.parent / ".lock"):
            if target.is_dir():
                return  # another process was faster
            for name, find in ways:
                try:
                    folder = find()
                    _log.info("%s: preparing from %s", builder.name, name)
                    return build(builder, target, folder)
                except fetch.Unavailable as reason:
                    failures.append(f"{name}: {reason}")
    except OSError as error:
        raise fetch.DataError(f"{builder.name}: cannot prepare it in {target}: {error}") from error
    raise fetch.DataError(
        f"{builder.name}: no way to get the data worked ({'; '.join(failures)})."
        f" To get it: {advice}"
    )


def build(builder: Any, target: Path, source: Path | None) -> None:
    """Run a builder in a temporary folder beside `target`, then rename its result to `target`."""
    with appearing(target) as part:
        made = builder(
            data_dir=part / "work",
            file_format="array_record",
            source=None if source is None else str(source),
        )
        with quiet_tfds():
            made.download_and_prepare(download_dir=part / "work" / "downloads")
        lift(Path(made.data_dir), part, remove=part / "work")
