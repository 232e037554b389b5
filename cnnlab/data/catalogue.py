"""Any data set of the TFDS catalogue, read without TensorFlow once it is prepared."""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnlab.data.dataset import Dataset, Placement, assemble
from cnnlab.data.fetch import DataError
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.paths import lift, tfds_dir
from cnnlab.data.records import open_split, prepared_folder, quiet_tfds, readable
from cnnlab.files import appearing, locked

_log = logging.getLogger(__name__)


def tfds_dataset(
    name: str,
    *,
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    image_key: str = "image",
    label_key: str = "label",
    size: int | Sequence[int] | None = None,
    data_dir: str | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """A classification data set of TFDS by name, `"cifar10"` or `"dataset/config"`.

    Reading what is prepared in ArrayRecord needs no TensorFlow (images are decoded by Pillow);
    preparing a stock data set does: the extra `cnnlab[tensorflow]`.

    **Arguments:**

    - `train_split`, `test_split`: names of TFDS splits, or slices of them as `"train[:80%]"`.
    - `image_key`, `label_key`: the features to use.
    - `size`: side, or `(height, width)`, that images are resized to; needed for data sets whose
      images differ in size.
    - `data_dir`: the folder of prepared data sets; TFDS's own if not given.

    Raises `DataError` when the data set is not prepared and cannot be here, and `ValueError`
    for a name, split or feature that it does not have.
    """
    size = _pair(size)
    folder = _find(name, tfds_dir(data_dir))
    info = _info(name, folder, train_split, test_split, image_key, label_key, size)
    label = info.features[label_key]
    train, test = (
        open_split(
            folder,
            split,
            image_key=image_key,
            label_key=label_key,
            size=size,
            placement=placement,
            workers=workers,
        )
        for split in (train_split, test_split)
    )
    origin = f"prepared in {folder}"
    _log.info("%s: %s", name, origin)
    return assemble(
        name,
        train,
        test,
        class_names=[label.int2str(number) for number in range(label.num_classes)],
        val_fraction=val_fraction,
        origin=origin,
        fingerprint=fingerprint(train, test),
    )


def _pair(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"size: expected an integer >= 1, or two of them, got {size}")
    return pair


def _find(name: str, root: Path) -> Path:
    """The folder of the prepared data set, preparing it first where that is possible."""
    folder = _prepared(name, root)
    if folder is not None:
        return folder
    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            f"{name}: not prepared in {root}, and preparing a stock TFDS data set needs TensorFlow:"
            " install the extra, pip install 'cnnlab[tensorflow]', or give a folder that has it"
            " in ArrayRecord, data.data_dir=<folder>"
        )
    return _prepare(name, root)


def _prepared(name: str, root: Path) -> Path | None:
    dataset, _, config = name.partition("/")
    folder = prepared_folder(root, dataset, config or None)
    if folder is not None and not readable(folder):
        raise DataError(
            f"{name}: {folder} is not in ArrayRecord, which reading without TensorFlow needs;"
            " prepare it with file_format='array_record' in another folder and give that,"
            " data.data_dir=<folder>"
        )
    return folder


def _prepare(name: str, root: Path) -> Path:
    """Run the stock builder in a temporary folder, then rename its result into place."""
    import tensorflow_datasets as tfds

    try:
        plan = tfds.builder(name, data_dir=root, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(f"name: TFDS has no data set {name!r}") from error
    target = Path(plan.data_dir)
    try:
        with locked(target.parent / ".lock"):
            if target.is_dir():
                return target
            _log.info("%s: preparing with TFDS's builder", name)
            with appearing(target) as part:
                work = part / "work"
                builder = tfds.builder(name, data_dir=work, file_format="array_record")
                with quiet_tfds():
                    builder.download_and_prepare(download_dir=work / "downloads")
                lift(Path(builder.data_dir), part, remove=work)
    except Exception as error:  # whatever a stock builder raises: no network, manual download, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: TFDS could not prepare it in {target}: {reason}") from error
    return target


def _has_split(info: Any, split: str) -> bool:
    """Whether TFDS understands a split's name or slice, `"train"`, `"train[:80%]"`."""
    try:
        return info.splits[split].num_examples > 0
    except (KeyError, ValueError, AssertionError):
        return False


def _info(
    name: str,
    folder: Path,
    train_split: str,
    test_split: str,
    image_key: str,
    label_key: str,
    size: tuple[int, int] | None,
) -> Any:
    """TFDS's description of the data set, checked against what is asked of it."""
    import tensorflow_datasets as tfds

    with quiet_tfds():
        info = tfds.builder_from_directory(folder).info
    for argument, split in (("train_split", train_split), ("test_split", test_split)):
        if not _has_split(info, split):
            raise ValueError(
                f"{argument}: {name} has the splits {', '.join(info.splits)}, got {split!r}"
            )
    for argument, key in (("image_key", image_key), ("label_key", label_key)):
        if key not in info.features:
            raise ValueError(
                f"{argument}: {name} has the features {', '.join(info.features)}, got {key!r}"
            )
    if not isinstance(info.features[label_key], tfds.features.ClassLabel):
        raise ValueError(f"label_key: expected a class label, {label_key!r} of {name} is none")
    if size is None and None in info.features[image_key].shape:
        raise ValueError(f"size: the images of {name} differ in size: give the side to resize to")
    return info
