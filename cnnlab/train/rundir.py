"""Run directories: `outputs/<name>/<config hash>-s<seed>/`.

The same config, reading the same examples and weights, finds the same directory: complete
(`result.json` is there), in progress by another process (locked), to be resumed, or new.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnlab.errors import CnnlabError
from cnnlab.train.checkpoint import write_atomically


class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.checkpoints = path / "checkpoints"
        self.figures = path / "figures"
        self.profile = path / "profile"

    def complete(self) -> bool:
        """Whether the run ended: its presence is what `result.json` means."""
        return self.result.is_file()

    def read_result(self) -> dict[str, Any]:
        """What the finished run measured."""
        return json.loads(self.result.read_text())

    def begin(self, config_yaml: str, *, force: bool = False) -> None:
        """Make the directory and its `config.yaml`; with `force`, from nothing."""
        if force and self.config.is_file():
            # The result first: a directory without one is never taken for complete.
            for file in (self.result, self.config, self.metrics):
                file.unlink(missing_ok=True)
            for folder in (self.checkpoints, self.figures, self.profile):
                shutil.rmtree(folder, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.glob("**/.*.tmp"):  # of a process killed while it wrote
            leftover.unlink()
        if not self.config.is_file():
            write_atomically(self.config, config_yaml.encode())

    def write_result(self, result: dict[str, Any]) -> None:
        """Write `result.json`, last of all: from then on the run is complete."""
        write_atomically(self.result, (json.dumps(result, indent=2) + "\n").encode())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for this process; released by the system however it ends.

        **Raises:** `CnnlabError` when another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CnnlabError(f"{self.path}: another process is running this config") from error
            yield
