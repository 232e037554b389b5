"""The progress bar: loss, scores, images a second, time left."""

import contextlib
import sys
from collections.abc import Mapping
from typing import IO, Any, cast

from cnnlab.train.scores import shown


class _Terminal:
    """A file that may be closed at any time: what it refuses is lost, and no training with it."""

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


class Progress:
    """A bar on a terminal; plain lines, one an evaluation, where output is not a terminal."""

    def __init__(self, enabled: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._console = Console(file=cast(IO[str], _Terminal(sys.stderr)), soft_wrap=True)
        self._enabled = enabled
        self._bar = Bar(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (enabled and self._console.is_terminal),
        )

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def start(self, step: int, steps: int) -> None:
        """Begin at `step` of `steps`."""
        self._steps = steps
        self._numbers = ""
        self._task = self._bar.add_task("", total=steps, completed=step, numbers="compiling")

    def update(self, step: int, means: Mapping[str, float], *, rate: float) -> None:
        """Show the means of the last steps; `rate` in images a second."""
        self._numbers = f"{shown(means)}  {rate:,.0f} images/s"
        self._bar.update(self._task, completed=step, numbers=self._numbers)

    def note(self, step: int, scores: Mapping[str, float]) -> None:
        """Write the line of one evaluation, which stays."""
        if self._enabled:
            training = f"{self._numbers}  |  " if self._numbers else ""
            self._console.print(
                f"step {step}/{self._steps}  {training}validation {shown(scores)}",
                highlight=False,
            )
