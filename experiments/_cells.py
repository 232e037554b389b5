"""What a question has measured so far, on disk: a measurement that was interrupted goes on."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnnlab.errors import CnnlabError
from cnnlab.files import write_atomically


class Cells:
    """Results by name, one JSON line each, written as soon as they are there.

    A line that a killed process left half-written is dropped.
    """

    def __init__(self, file: Path | None = None, *, show: bool = False) -> None:
        """**Arguments:** `file` of the lines (none: in memory); `show`, a progress bar."""
        self._file, self._show = file, show
        # A folder for what a measurement keeps beside its cells, such as training runs.
        self.folder = None if file is None else file.parent
        self._known: dict[str, Any] = {}
        whole = ""
        for line in file.read_text().splitlines() if file is not None and file.is_file() else ():
            try:
                cell = json.loads(line)
                self._known[cell["key"]] = cell["value"]
            except (ValueError, KeyError, TypeError):
                break
            whole += f"{line}\n"
        if file is not None and file.is_file() and file.read_text() != whole:
            write_atomically(file, whole.encode())

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        """The value of a cell, a JSON value: as it was measured before, or by `compute` now.

        **Raises:** `CnnlabError` when it can't be written.
        """
        if key not in self._known:
            line = json.dumps({"key": key, "value": compute()})
            if self._file is not None:
                try:
                    with self._file.open("a") as file:
                        file.write(f"{line}\n")
                except OSError as error:
                    raise CnnlabError(f"{self._file}: {error.strerror}") from error
            self._known[key] = json.loads(line)["value"]
        return self._known[key]

    def all(self, cells: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """The values of several cells, under a progress bar that names the one at work."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        columns = BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}")
        with Progress(*columns, console=Console(stderr=True), disable=not self._show) as bar:
            task = bar.add_task("", total=len(cells))
            values = {}
            for key, compute in cells.items():
                bar.update(task, description=key)
                values[key] = self.get(key, compute)
                bar.advance(task)
        return values
