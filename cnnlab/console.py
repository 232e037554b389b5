"""Commands as the shell sees them: where they are, how they are typed, who reads their output."""

import logging
import os
import sys
from pathlib import Path

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
