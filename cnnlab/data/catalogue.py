"""Any data set of the TFDS catalogue, read without TensorFlow once it is prepared."""

import importlib.util
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size, pair
from cnnlab.data.fingerprint import fingerprint
from cnnlab.data.obtain import run_builder, tfds_dir
from cnnlab.data.prepared import intact, prepared_builder, prepared_folder, readable
from cnnlab.data.records import open_split, white_of_feature
from cnnlab.data.splits import DataError, Placement
from cnnlab.files import locked

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_log = logging.getLogger(__name__)


@checked
def tfds_dataset(
    name: str,
    *,
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    image_key: str = "image",
    label_key: str = "label",
    size: Size | None = None,
    data_dir: str | Path | None = None,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """A classification data set of TFDS by name, `"svhn_cropped"` or `"dataset/config"`.

    Reading what is prepared in ArrayRecord needs no TensorFlow (images are decoded by Pillow);
    preparing a stock data set does: the extra `cnnlab[tensorflow]`.

    **Arguments:**

    - `train_split`, `test_split`: names of TFDS splits, or slices of them as `"train[:80%]"`.
    - `image_key`, `label_key`: the features to use.
    - `size`: side, or `(height, width)`, that images are resized to; needed for data sets whose
      images differ in size.
    - `data_dir`: the folder of prepared data sets; TFDS's own if not given.
    - `val_fraction`: share of the training split that is set aside (`validation_split`).
    - `placement`, `workers`: how batches are loaded (`loader`).

    **Raises:** `DataError`: the data set is not prepared and cannot be here, or is damaged.
    `ValueError`: a name, split or feature that it does not have.
    """
    if not re.fullmatch(r"\w+(/\w[\w.+-]*)?(:[\w.*]+)?", name):
        raise ValueError(f"name: expected <data set> or <data set>/<config>, got {name!r}")
    pair(size)
    folder = _find(name, tfds_dir(data_dir))
    _log.info("%s: prepared in %s", name, folder)
    return read_prepared(
        name,
        folder,
        val_fraction=val_fraction,
        train_split=train_split,
        test_split=test_split,
        image_key=image_key,
        label_key=label_key,
        size=size,
        placement=placement,
        workers=workers,
    )


def read_prepared(
    name: str,
    folder: Path,
    *,
    val_fraction: float | int = 0.1,
    train_split: str = "train",
    test_split: str = "test",
    image_key: str = "image",
    label_key: str = "label",
    size: Size | None = None,
    class_names: Sequence[str] | None = None,
    published: str = "",
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """The data set in a folder that TFDS prepared.

    **Arguments:** `class_names`, where they are known, whatever the folder says; `published`, the
    fingerprint of the examples that the data set's name alone stands for; the others as
    `tfds_dataset` takes them.

    **Raises:** as `tfds_dataset`.
    """
    sides = pair(size)
    features = _features(name, folder, train_split, test_split, image_key, label_key, sides)
    train, test = (
        open_split(
            folder,
            split,
            image_key=image_key,
            label_key=label_key,
            size=sides,
            placement=placement,
            workers=workers,
        )
        for split in (train_split, test_split)
    )
    label = features[label_key]
    with intact(folder):
        class_names = class_names or [label.int2str(number) for number in range(label.num_classes)]
    made = fingerprint(train, test)
    return Dataset.from_splits(
        name,
        train,
        test,
        class_names=class_names,
        val_fraction=val_fraction,
        origin=f"prepared in {folder}",
        high=white_of_feature(features[image_key]),
        resized=size is not None,
        fingerprint="" if made == published else made,
    )


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
            if not target.is_dir():
                _log.info("%s: preparing with TFDS's builder", name)
                run_builder(lambda **where: tfds.builder(name, **where), target)
    except Exception as error:  # whatever a stock builder raises: no network, manual download, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: TFDS could not prepare it in {target}: {reason}") from error
    return target


def _has_split(info: "tfds.core.DatasetInfo", split: str) -> bool:
    """Whether TFDS understands a split's name or slice, `"train"`, `"train[:80%]"`."""
    try:
        return info.splits[split].num_examples > 0
    except (KeyError, ValueError, AssertionError):
        return False


def _features(
    name: str,
    folder: Path,
    train_split: str,
    test_split: str,
    image_key: str,
    label_key: str,
    size: tuple[int, int] | None,
) -> Any:
    """TFDS's description of the features, checked against what is asked of the data set."""
    import tensorflow_datasets as tfds

    info = prepared_builder(folder).info
    for argument, split in (("train_split", train_split), ("test_split", test_split)):
        if not _has_split(info, split):
            raise ValueError(
                f"{argument}: {name} in {folder} has the splits {', '.join(info.splits)},"
                f" got {split!r}"
            )
    for argument, key in (("image_key", image_key), ("label_key", label_key)):
        if key not in info.features:
            raise ValueError(
                f"{argument}: {name} in {folder} has the features {', '.join(info.features)},"
                f" got {key!r}"
            )
    if not isinstance(info.features[label_key], tfds.features.ClassLabel):
        raise ValueError(f"label_key: expected a class label, {label_key!r} of {name} is none")
    if size is None and None in info.features[image_key].shape:
        raise ValueError(f"size: the images of {name} differ in size: give the side to resize to")
    return info.features
