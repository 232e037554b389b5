"""Commands as the shell sees them: where they are, how they are typed, who reads their output."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from cnnlab.notebook import CellBar

Item = TypeVar("Item")

UNREAD = 141  # the exit status of what is written to nobody


def project() -> Path:
    """The folder that holds `configs/` and `experiments/`: the one beside this package in a clone,
    one within it where it was installed from a wheel."""
    package = Path(__file__).resolve().parent
    shipped = package / "shipped"
    return shipped if shipped.is_dir() else package.parent


def program() -> str:
    """The command that started this process, as a user types it: `python -m experiments.train`,
    `cnnlab train`."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None or spec.name == "__main__":
        script = Path(sys.argv[0])
        return f"python {script.name}" if script.suffix == ".py" else script.name
    typed = f"python -m {spec.name.removesuffix('.__main__')}"
    return sys.argv[0] if sys.argv[0].startswith(f"{typed} ") else typed


def another(name: str) -> str:
    """How another command is typed, where this one's is `program()`."""
    front, _, _ = program().rpartition(" ")
    return f"{front} {name}" if front.endswith("cnnlab") else f"python -m experiments.{name}"


class _Terminal:
    """A file that may be closed at any time: what it refuses is lost, and no work with it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Bar:
    """How far work is: a bar on a terminal or in a notebook, and none elsewhere.

    **Arguments:** `show`, whether there is anything to be seen at all; `unit`, what is counted.
    """

    def __init__(self, *, show: bool, unit: str = "") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Remaining

        self._show, self._unit = show, unit
        self._cell = CellBar(unit) if show and CellBar.possible() else None
        file = cast(IO[str], _Terminal(sys.stderr))
        self._console = Console(file=file, soft_wrap=True, force_jupyter=False)
        columns = [BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}")]
        self._rich = Progress(
            *([TextColumn(unit)] if unit else []),
            *columns,
            console=self._console,
            disable=self._cell is not None or not (show and self._console.is_terminal),
        )

    def __enter__(self) -> "Bar":
        self._rich.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._in_cell(self._beside(), last=True)
        self._rich.stop()

    def start(self, done: int, total: int, text: str = "") -> None:
        """Begin at `done` of `total`; `text` stands beside the bar until there is another."""
        self._done, self._total, self._text, self._kept = done, total, "", ""
        self._task = self._rich.add_task(text, total=total, completed=done)
        self._in_cell(text)

    def update(self, done: int, text: str) -> None:
        """So much is done; `text` stands beside the bar."""
        self._done, self._text = done, text
        self._rich.update(self._task, completed=done, description=text)
        self._in_cell(self._beside())

    def keep(self, done: int, text: str) -> None:
        """Write a line that stays, at `done`, with what stood beside the bar since the last one; in
        a notebook it is beside the bar itself."""
        self._done, self._kept = done, text
        if self._cell is not None:
            self._in_cell(self._beside())
            return
        if self._show:
            line = f"{self._unit} {done}/{self._total}  {self._beside()}"
            self._console.print(line, highlight=False)
        self._text = ""

    def _beside(self) -> str:
        return "  |  ".join(filter(None, (self._text, self._kept)))

    def _in_cell(self, text: str, *, last: bool = False) -> None:
        if self._cell is not None:
            self._cell.show(self._done, self._total, text, last=last)


def progress(items: Mapping[str, Item], *, show: bool) -> Iterator[tuple[str, Item]]:
    """Names and items, one after the other, under a bar that names the one at work."""
    with Bar(show=show) as bar:
        bar.start(0, len(items))
        for done, (name, item) in enumerate(items.items()):
            bar.update(done, name)
            yield name, item
        bar.update(len(items), "")


def narrate() -> None:
    """Let cnnlab's own log messages (where the data comes from) reach the terminal."""
    logger = logging.getLogger("cnnlab")
    logger.propagate = False  # some library gives the root logger a handler: once is enough
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.INFO)


def unread() -> int:
    """Whoever reads standard output (`head`) has enough: what is left goes nowhere.

    **Returns:** the exit status.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return UNREAD
