"""Commands as the shell sees them: where they are, how they are typed, who reads their output."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

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


def progress(items: Mapping[str, Item], *, show: bool) -> Iterator[tuple[str, Item]]:
    """Names and items, one after the other, under a progress bar on standard error that names the
    one at work."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (BarColumn(), MofNCompleteColumn(), Remaining(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task("", total=len(items))
        for name, item in items.items():
            bar.update(task, description=name)
            yield name, item
            bar.advance(task)


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
