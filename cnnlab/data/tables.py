"""A table (CSV) that lists pictures and their labels."""

import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.arguments import checked
from cnnlab.data.dataset import Dataset
from cnnlab.data.decode import Size, pair
from cnnlab.data.listing import Broken, Example, Label, picture_dataset
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
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
Cells = list[tuple[int, list[str]]]
"""Of each row the line that it ends on, and some of its values."""


@checked
def table(
    file: str | Path,
    *,
    task: Literal["classification", "multilabel", "regression"] = "classification",
    root: str | Path | None = None,
    image_column: str = "file",
    label_column: str | Sequence[str] = "label",
    label_separator: str = "|",
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

    UTF-8; values may stand in double quotes, and white space around them counts for nothing.

    **Arguments:**

    - `task`: what the labels are. Classes: what the label's column says, in the order of numbers
      where all are whole numbers, else of letters. Several labels: a column of 0 and 1 for each, or
      one column with the names of those that are there, none or some. Numbers: a column for each.
    - `root`: the folder below which all files are; that of the table if not given.
    - `image_column`, `label_column`: the names of the columns; of several labels or numbers a list.
    - `label_separator`: what stands between the names of several labels in one column.
    - `split_column`: that which says `train`, `val` or `test`; without it, or where it names no
      `val` or `test`, a share of each class in the training split is taken.
    - `delimiter`: the character between values; a backslash and a t are a tab.
    - the others are those of `folder`; rows whose file is missing count as broken.

    **Raises:** `ValueError` that begins with the argument's name: no such file, columns that it
    does not have, rows of another length, labels that are empty or not the task's, fewer than two
    classes, and what `folder` refuses.
    """
    place = Path(file).expanduser()
    reading = Reading(pair(size), channels, depth, white)
    labelled = [label_column] if isinstance(label_column, str) else list(label_column)
    if not labelled or len(set(labelled)) < len(labelled):
        raise ValueError(f"label_column: expected different columns, got {labelled}")
    columns = [("image_column", image_column)]
    columns += [("label_column", name) for name in labelled]
    columns += [] if split_column is None else [("split_column", split_column)]
    named = task == "multilabel" and isinstance(label_column, str)  # else a column for each label
    rows = list(_rows(place, columns, delimiter, named))
    if not rows:
        raise ValueError(f"file: {shown(place)} has no rows below the names of its columns")
    cells = [(line, values[1 : 1 + len(labelled)]) for line, values in rows]
    if task == "regression":
        names, labels = labelled, _numbers(cells, labelled)
    elif task == "classification":
        names, labels = _classes(place, cells, labelled)
    elif named:
        names, labels = _several(place, cells, label_separator)
    else:
        names, labels = labelled, _flags(cells, labelled)
    for name in names:
        if not name.isprintable():
            raise ValueError(f"label_column: expected names that can be printed, got {name!r}")
    top = os.fspath(place.parent if root is None else Path(root).expanduser())
    if not os.path.isdir(top):
        raise ValueError(f"root: no such folder: {shown_path(top)!r}")
    examples = [
        Example(
            _below(top, line, values[0]),
            label,
            "train" if split_column is None else _split_of(line, values[-1]),
        )
        for (line, values), label in zip(rows, labels, strict=True)
    ]
    return picture_dataset(
        "csv",
        examples,
        task=task,
        class_names=names,
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
    place: Path, columns: Sequence[tuple[str, str]], delimiter: str, may_be_empty: bool
) -> Iterator[tuple[int, list[str]]]:
    """The line that each row ends on, and its values in some columns.

    **Arguments:** `columns`, their names, each behind the argument that names it; `may_be_empty`,
    whether that is so of `label_column`.
    """
    delimiter = "\t" if delimiter == r"\t" else delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter: expected one character between values, got {delimiter!r}")
    try:
        with place.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            for argument, name in columns:
                if header.count(name) != 1:
                    raise ValueError(
                        f"{argument}: expected one column {name!r} in {shown(place)}, its columns"
                        f" are {', '.join(map(repr, header)) or 'none'}{_separated(header)}"
                    )
            places = [header.index(name) for _, name in columns]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(
                        f"file: line {reader.line_num} of {shown(place)} has {len(row)} values,"
                        f" expected {len(header)}"
                    )
                values = [row[at].strip() for at in places]
                for (argument, name), value in zip(columns, values, strict=True):
                    where = f"{argument}: line {reader.line_num} of {shown(place)}"
                    if not value and not (may_be_empty and argument == "label_column"):
                        raise ValueError(f"{where} has no {name!r}")
                    if "\0" in value:
                        raise ValueError(f"{where} has a zero byte in {name!r}, {value!r}")
                yield reader.line_num, values
    except OSError as error:
        raise ValueError(f"file: {shown(place)} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"file: {shown(place)} is not a table in UTF-8") from error
    except csv.Error as error:
        raise ValueError(
            f"file: {shown(place)} is not a table that can be read: {error}"
        ) from error


def _separated(header: Sequence[str]) -> str:
    """What to set, where something else seems to stand between the names of the columns."""
    for delimiter in (";", "\t", "|"):
        if len(header) == 1 and delimiter in header[0]:
            return f"; to separate them there: 'data.delimiter={json.dumps(delimiter)}'"
    return ""


def _below(top: str, line: int, name: str) -> str:
    """The path of a file that a row names, in a folder."""
    path, root = os.path.join(top, name), os.path.abspath(top)
    if os.path.commonpath([root, os.path.abspath(path)]) != root:
        raise ValueError(
            f"image_column: line {line} names {shown_path(name)}, which is outside of"
            f" {shown_path(top)}; data.root=/ takes absolute paths"
        )
    return path


def _split_of(line: int, value: str) -> Literal["train", "val", "test"]:
    if value.lower() not in _SPLITS:
        raise ValueError(f"split_column: expected train, val or test, line {line} has {value!r}")
    return _SPLITS[value.lower()]


def _classes(
    place: Path, cells: Cells, columns: Sequence[str]
) -> tuple[Sequence[str], list[Label]]:
    """Names of classes, and the class of each row."""
    if len(columns) > 1:
        raise ValueError(
            f"label_column: expected one column of classes, got {', '.join(columns)};"
            " task=multilabel takes several labels, task=regression several numbers"
        )
    found = [value for _, (value,) in cells]
    names = _ordered(set(found))
    if len(names) == len(found) > 2 and all(map(_is_number, names)):
        raise ValueError(
            f"label_column: expected classes in {shown(place)}, got another number in each row;"
            " task=regression takes numbers"
        )
    if len(names) < 2:
        raise ValueError(
            f"label_column: expected 2 or more classes in {shown(place)}, found only {names[0]!r}"
        )
    number = {name: k for k, name in enumerate(names)}
    return names, [number[value] for value in found]


def _several(place: Path, cells: Cells, separator: str) -> tuple[Sequence[str], list[Label]]:
    """Names of labels, and of each row 1 for those that it names, 0 for the others."""
    if not separator:
        raise ValueError("label_separator: expected a text between names, got ''")
    named = [{name.strip() for name in value.split(separator)} - {""} for _, (value,) in cells]
    names = _ordered(set().union(*named))
    if not names:
        raise ValueError(f"label_column: no row of {shown(place)} names a label")
    return names, [tuple(int(name in its) for name in names) for its in named]


def _flags(cells: Cells, columns: Sequence[str]) -> list[Label]:
    """Of each row 0 or 1 for each label."""
    for line, values in cells:
        for name, value in zip(columns, values, strict=True):
            if value not in ("0", "1"):
                raise ValueError(
                    f"label_column: expected 0 or 1 in {name!r}, line {line} has {value!r}"
                )
    return [tuple(map(int, values)) for _, values in cells]


def _numbers(cells: Cells, columns: Sequence[str]) -> list[Label]:
    """The numbers of each row."""
    for line, values in cells:
        for name, value in zip(columns, values, strict=True):
            if not _is_number(value):
                raise ValueError(
                    f"label_column: expected a number in {name!r}, line {line} has {value!r}"
                )
    return [tuple(map(float, values)) for _, values in cells]


def _is_number(text: str) -> bool:
    """Whether a text is a number that a float32 holds."""
    return bool(_NUMBER.fullmatch(text)) and abs(float(text)) <= float(np.finfo(np.float32).max)


def _ordered(names: set[str]) -> Sequence[str]:
    if not all(name.isascii() and name.isdigit() for name in names):
        return sorted(names)
    digits = lambda name: name.lstrip("0")  # Python makes no number of thousands of them
    return sorted(names, key=lambda name: (len(digits(name)), digits(name), name))
