"""A folder of pictures with a folder for each class."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size, pair
from cnnlab.data.listing import Broken, Example, picture_dataset
from cnnlab.data.pictures import Reading, shown_path
from cnnlab.data.splits import DataError, Placement

_SPLITS: dict[str, Literal["train", "val", "test"]] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_CLUTTER = ("Thumbs.db", "desktop.ini", "__MACOSX")


@checked
def folder(
    root: str | Path,
    *,
    size: Size | None = None,
    channels: int | None = None,
    depth: int = 8,
    white: float | int | None = None,
    broken: Broken = "refuse",
    val_fraction: float | int = 0.1,
    test_fraction: float | int = 0.2,
    placement: Placement = "auto",
    workers: int = 0,
) -> Dataset:
    """Pictures in `root/<class>/`, or in `root/train/<class>/`, `root/val/...`, `root/test/...`.

    JPEG, PNG, WebP, TIFF and what else `decode.FORMATS` names, of any colours and depth, turned as
    EXIF says. A class is all that lies below its folder; names that begin with a dot are left out.
    Where there is no `test/` or `val/`, a share of each class in the training split is taken.

    **Arguments:**

    - `size`: a side or `(height, width)` that pictures are brought to; needed where they differ.
    - `channels`: 1 or 3; 1 where all pictures are grey, else 3, if not given.
    - `depth`: 8; or 16, to keep up to 16 bits, as float32 with white at 65535.
    - `white`: the value of white in pictures of more than 8 bits whose file does not say it.
    - `broken`: `"refuse"` files that can't be read (texts among them), or `"skip"` them.
    - `val_fraction`, `test_fraction`: the shares of the training split; 0 for no validation split.
    - `placement`, `workers`: how batches are loaded (`loader`).

    **Raises:** `ValueError` that begins with the argument's name: no such folder, no or one class,
    an empty class, files that can't be read, sizes that differ. `DataError`: a folder that can't be
    read.
    """
    top = os.fspath(Path(root).expanduser())
    if not os.path.isdir(top):
        raise ValueError(f"root: no such folder: {shown_path(str(root))!r}")
    reading = Reading(pair(size), channels, depth, white)
    found = _by_split(top)
    class_names = list(found["train"])
    if len(class_names) < 2:
        only = f"only {class_names[0]!r}" if class_names else "none"
        raise ValueError(
            f"root: expected a folder of pictures for each of 2 or more classes in"
            f" {shown_path(top)}, found {only}"
        )
    examples = []
    for split, classes in found.items():
        for name, files in classes.items():
            if name not in class_names:
                raise ValueError(f"root: {split}/ has the class {name!r}, which train/ does not")
            if split == "train" and not files:
                raise ValueError(f"root: the folder of the class {name!r} holds no pictures")
            label = class_names.index(name)
            examples += [Example(file, label, split) for file in files]
    return picture_dataset(
        "folder",
        examples,
        class_names=class_names,
        root=top,
        reading=reading,
        broken=broken,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        placement=placement,
        workers=workers,
    )


Classes = dict[str, list[str]]


def _by_split(top: str) -> dict[Literal["train", "val", "test"], Classes]:
    """The files of each class of each split; all in `train` where the folder has no splits."""
    folders = {entry.name: entry.path for entry in _entries(top) if _is_folder(entry)}
    has_splits = "train" in folders and any(map(_is_folder, _entries(folders["train"])))
    if not has_splits:
        return {"train": _classes(top)}
    others = sorted(folders.keys() - _SPLITS.keys())
    if others:
        raise ValueError(
            f"root: expected beside train/ only val/ and test/ in {shown_path(top)}, found"
            f" {shown_path(others[0])}/"
        )
    found: dict[Literal["train", "val", "test"], Classes] = {"train": _classes(folders["train"])}
    for name, path in folders.items():
        split = _SPLITS[name]
        if split != "train":
            if split in found:
                raise ValueError(f"root: {shown_path(top)} has two folders of validation pictures")
            found[split] = _classes(path)
            if not any(found[split].values()):
                raise ValueError(f"root: {name}/ has no pictures in folders of classes")
    return found


def _classes(top: str) -> Classes:
    """The files of each class below a folder, by name."""
    found = {}
    for entry in _entries(top):
        if _is_folder(entry):
            if shown_path(entry.name) != entry.name:
                raise ValueError(
                    f"root: expected names of classes in UTF-8 that can be printed, got"
                    f" {shown_path(entry.path)}"
                )
            found[entry.name] = list(_files(entry.path, (os.path.realpath(top),)))
    return found


def _files(folder: str, above: tuple[str, ...]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        raise ValueError(
            f"root: the link {shown_path(folder)} leads back to a folder that it is in"
        )
    for entry in _entries(folder):
        if _is_folder(entry):
            yield from _files(entry.path, (*above, real))
        else:
            yield entry.path


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a link to itself, say
        raise DataError(f"{shown_path(entry.path)} can't be read: {error.strerror}") from error


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    """What is in a folder, by name, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith(".") and e.name not in _CLUTTER]
    except OSError as error:
        raise DataError(f"{shown_path(folder)} can't be read: {error.strerror}") from error
    return sorted(shown, key=lambda entry: os.fsencode(entry.name))
