"""What a question has measured so far, on disk: a measurement that was interrupted goes on."""

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cnnlab.console import progress
from cnnlab.errors import CnnlabError
from cnnlab.lab.records import Records, combinations


class Cells:
    """Results by name, one JSON line each, written as soon as they are there."""

    def __init__(self, file: Path | None = None, *, show: bool = False) -> None:
        """**Arguments:** `file` of the lines (none: in memory); `show`, a progress bar.

        **Raises:** `CnnlabError` for a damaged file. A last line without an end, which a killed
        process left, is dropped.
        """
        self._file, self._show = file, show
        # A folder for what a measurement keeps beside its cells, such as training runs; `before`:
        # the seconds of what was measured before.
        self.folder = None if file is None else file.parent
        self._known, self.before = _read(file) if file is not None and file.is_file() else ({}, 0.0)
        self._within = 0.0  # seconds of the cells that the one at work has asked for

    def get(self, key: str, compute: Callable[[], object]) -> Any:
        """The value of a cell, a JSON value: as it was measured before, or by `compute` now.

        **Raises:** `CnnlabError` when it can't be written.
        """
        if key not in self._known:
            value, seconds = self._timed(compute)
            line = json.dumps({"key": key, "value": value, "seconds": seconds})
            if self._file is not None:
                try:
                    with self._file.open("a") as file:
                        file.write(f"{line}\n")
                except OSError as error:
                    raise CnnlabError(f"{self._file}: {error.strerror}") from error
            self._known[key] = json.loads(line)["value"]
        return self._known[key]

    def _timed(self, compute: Callable[[], object]) -> tuple[object, float]:
        """What it gives, and how long that took without the cells that it asked for."""
        outside, self._within, started = self._within, 0.0, time.perf_counter()
        value = compute()
        whole, inside = time.perf_counter() - started, self._within
        self._within = outside + whole
        return value, round(whole - inside, 3)

    def all(self, cells: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
        """The values of several cells, under a progress bar that names the one at work."""
        return {key: self.get(key, compute) for key, compute in progress(cells, show=self._show)}

    def records(
        self, name: str, compute: Callable[..., object], /, **axes: Iterable[object]
    ) -> Records:
        """A cell for each combination of the values of the axes, `name: pool avg, seed 0`; as
        records of these values and of what `compute(**values)` gives: a mapping, several of them,
        or a value, which is found under `name`."""
        rows = combinations(**axes)
        keys = [f"{name}: {', '.join(f'{k} {v}' for k, v in row.items())}" for row in rows]
        work = {key: lambda row=row: compute(**row) for key, row in zip(keys, rows, strict=True)}
        found = Records()
        for row, value in zip(rows, self.all(work).values(), strict=True):
            for one in value if isinstance(value, list) else [value]:
                found.append({**row, **(one if isinstance(one, dict) else {name: one})})
        return found

    def seeds(
        self,
        name: str,
        compute: Callable[..., object],
        enough: Callable[[Records], bool],
        /,
        *,
        first: int,
        least: int,
        most: int,
        **axes: Iterable[object],
    ) -> Records:
        """The records of `compute(seed=..., ...)`, for each combination of the values of the axes,
        and as many seeds as it takes: `least` of them, and more until the records are `enough`, or
        there are `most`.

        `enough` is to ask how wide an interval is, not on which side of a limit it lies: who stops
        when the verdict pleases is wrong more often than 5 % of the time.
        """
        axes = {key: list(values) for key, values in axes.items()}
        found, n = Records(), 0
        while n < least or (n < most and not enough(found)):
            found += self.records(name, compute, seed=[first + n], **axes)
            n += 1
        return found


def _read(file: Path) -> tuple[dict[str, Any], float]:
    """The cells of a file, from which a half last line is cut off, and the seconds of all."""
    known, seconds, whole = {}, 0.0, 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                os.truncate(file, whole)
                break
            try:
                cell = json.loads(line)
                known[cell["key"]] = cell["value"]
                seconds += cell.get("seconds", 0.0)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise CnnlabError(
                    f"{file}: line {number} is damaged; force=true measures anew"
                ) from None
            whole += len(line)
    return known, seconds
