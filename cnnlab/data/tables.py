"""A table (CSV) that lists pictures and their labels."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size, pair
from cnnlab.data.listing import Broken, Example, picture_dataset
from cnnlab.data.pictures import Reading, shown_path
from cnnlab.data.splits import Placement

_SPLITS: dict[str, Literal["train", "val", "test"]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@checked
def table(
    file: str | Path,
    *,
    root: str | Path | None = None,
    image_column: str = "file",
    label_column: str = "label",
    split_column: str | None = None,
    delimiter: str = ",",
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
    """Pictures that a CSV file names, one a row under a first row with the columns' names.

    UTF-8; values may stand in double quotes. A class is what the label's column says; classes are
    in the order of numbers where all are whole numbers, else of letters.

    **Arguments:**

    - `root`: the folder in which the files are; that of the table if not given.
    - `image_column`, `label_column`: the names of the columns.
    - `split_column`: that which says `train`, `val` or `test`; without it, or where it names no
      `val` or `test`, a share of each class in the training split is taken.
    - the others are those of `folder`; rows whose file is missing count as broken.

    **Raises:** `ValueError` that begins with the argument's name: no such file, columns that it
    does not have, rows of another length, labels that are empty, fewer than two classes, and what
    `folder` refuses.
    """
    place = Path(file).expanduser()
    reading = Reading(pair(size), channels, depth, white)
    columns = {"image_column": image_column, "label_column": label_column}
    columns |= {} if split_column is None else {"split_column": split_column}
    rows = list(_rows(place, columns, delimiter))
    class_names = _ordered({values["label_column"] for _, values in rows})
    if len(class_names) < 2:
        only = f"only {class_names[0]!r}" if class_names else "no rows"
        raise ValueError(
            f"label_column: expected 2 or more classes in {shown(place)}, found {only}"
        )
    for name in class_names:
        if not name.isprintable():
            raise ValueError(f"label_column: expected classes that can be printed, got {name!r}")
    top = os.fspath(place.parent if root is None else Path(root).expanduser())
    if not os.path.isdir(top):
        raise ValueError(f"root: no such folder: {shown_path(top)!r}")
    label = {name: number for number, name in enumerate(class_names)}
    examples = [
        Example(
            os.path.join(top, values["image_column"]),
            label[values["label_column"]],
            _split_of(number, values.get("split_column", "train")),
        )
        for number, values in rows
    ]
    return picture_dataset(
        "csv",
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


def shown(place: Path) -> str:
    return shown_path(os.fspath(place))


def _rows(
    place: Path, columns: dict[str, str], delimiter: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """The line that each row ends on, and its values by argument."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter: expected one character between values, got {delimiter!r}")
    try:
        with place.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            header = next(reader, [])
            for argument, name in columns.items():
                if header.count(name) != 1:
                    raise ValueError(
                        f"{argument}: expected one column {name!r} in {shown(place)}, its columns"
                        f" are {', '.join(header) or 'none'}"
                    )
            places = {argument: header.index(name) for argument, name in columns.items()}
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(
                        f"file: line {reader.line_num} of {shown(place)} has {len(row)} values,"
                        f" expected {len(header)}"
                    )
                values = {argument: row[at].strip() for argument, at in places.items()}
                for argument, value in values.items():
                    if not value or "\0" in value:
                        raise ValueError(
                            f"{argument}: line {reader.line_num} of {shown(place)} has no"
                            f" {columns[argument]!r}"
                        )
                yield reader.line_num, values
    except OSError as error:
        raise ValueError(f"file: {shown(place)} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"file: {shown(place)} is not a table in UTF-8") from error
    except csv.Error as error:
        raise ValueError(
            f"file: {shown(place)} is not a table that can be read: {error}"
        ) from error


def _split_of(line: int, value: str) -> Literal["train", "val", "test"]:
    if value.lower() not in _SPLITS:
        raise ValueError(f"split_column: expected train, val or test, line {line} has {value!r}")
    return _SPLITS[value.lower()]


def _ordered(names: set[str]) -> Sequence[str]:
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
