"""Prepared TFDS data sets on this machine: found, opened, and refused where they are damaged."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnlab.data.decode import PictureError
from cnnlab.data.splits import DataError


def prepared_builder(folder: Path | str) -> Any:
    """TFDS's builder of a prepared folder, whose decorators hide its types.

    **Raises:** `DataError` where its description is damaged, or names a class of features that is
    not TFDS's own: TFDS would import whatever is named there.
    """
    import tensorflow_datasets as tfds

    with intact(folder):
        for name in _named_classes(json.loads((Path(folder) / "features.json").read_bytes())):
            if not name.startswith("tensorflow_datasets.core.features."):
                raise DataError(
                    f"{folder}: features.json names the class {name!r}, expected one of TFDS's own"
                )
        with quiet_tfds():
            return tfds.builder_from_directory(folder)


def check_shards(folder: Path | str, split: str) -> None:
    """Refuse a split whose files do not hold as many records as are announced: TFDS would leave out
    what is not there, or take numbers that nothing can hold for true.

    **Raises:** `DataError`.
    """
    from array_record.python.array_record_module import ArrayRecordReader

    info = prepared_builder(folder).info
    with intact(folder):
        for shard in info.splits[split].file_instructions:
            reader = ArrayRecordReader(str(shard.filename))
            found = reader.num_records()
            reader.close()
            if found != shard.examples_in_shard:
                raise ValueError(
                    f"{Path(shard.filename).name} holds {found} records, {shard.examples_in_shard}"
                    " are announced"
                )


def _named_classes(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for value in node:
            yield from _named_classes(value)
    for key, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, str) and key in ("pythonClassName", "python_class_name", "type"):
            yield value
        elif isinstance(value, str) and key == "content":  # a description within the description
            yield from _named_classes(json.loads(value))
        else:
            yield from _named_classes(value)


@contextlib.contextmanager
def intact(folder: Path | str) -> Iterator[None]:
    """Whatever reading a damaged prepared data set runs into, as a `DataError` of one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, PictureError):
            reason = f"a picture {reason}"
        raise DataError(
            f"{folder}: the prepared data set is damaged ({reason[:300]}); remove this folder, and"
            " the next run prepares it again"
        ) from error


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """TFDS without its progress bars, prints and remarks; cnnlab logs what matters itself."""
    import tensorflow_datasets as tfds

    logger = logging.getLogger("absl")
    level = logger.level
    tfds.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def prepared_folder(root: Path, name: str, config: str | None = None) -> Path | None:
    """The folder `<root>/<name>[/<config>]/<version>` of the newest prepared version, or None."""
    base = root / name / config if config else root / name
    if not base.is_dir():
        return None
    versions = [
        (tuple(int(part) for part in folder.name.split(".")), folder)
        for folder in base.iterdir()
        if folder.name.count(".") == 2
        and folder.name.replace(".", "").isdigit()
        and (folder / "dataset_info.json").is_file()
        and (folder / "features.json").is_file()
    ]
    return max(versions)[1] if versions else None


def readable(folder: Path) -> bool:
    """Whether a prepared data set is in a format with random access (ArrayRecord)."""
    return any(".array_record" in file.name for file in folder.iterdir())
