"""Run directories: `outputs/<name>/<config hash>-s<seed>/`.

The same config, reading the same examples and weights, finds the same directory: complete
(`result.json` is there), in progress by another process (claimed), to be resumed, or new.
"""

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cnnlab.arguments import checked
from cnnlab.claims import Claim
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.files import JsonObject, write_atomically


@checked
class RunDirectory:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.checkpoints = path / "checkpoints"
        self.figures = path / "figures"
        self.curves = self.figures / "curves.png"
        self.profile = path / "profile"
        self.tensorboard = path / "tensorboard"
        self.mlflow = path / "mlflow-run"

    def check_links(self) -> None:
        """Raises `ConfigError` where a link leads out of the directory: a run from somebody else
        may not have files written elsewhere."""
        folders = (self.checkpoints, self.figures, self.profile, self.tensorboard)
        files = (self.config, self.metrics, self.result, self.mlflow, *self.path.glob(".claim-*"))
        real = os.path.realpath  # Path.resolve raises for a link to itself
        inside = real(self.path)
        within = (entry for folder in folders if folder.is_dir() for entry in folder.iterdir())
        for entry in (*files, *folders, *within):
            if entry.is_symlink() and not Path(real(entry)).is_relative_to(inside):
                raise ConfigError(f"run: {entry} is a link that leads out of the run directory")

    def complete(self) -> bool:
        """Whether the run ended: its presence is what `result.json` means."""
        return self.result.is_file()

    def stage(self) -> str:
        """How far the run is, in words."""
        kept = sorted(self.checkpoints.glob("step-*.safetensors"))
        if self.complete() or not kept:
            return "complete" if self.complete() else "not begun"
        return f"stopped after step {int(kept[-1].stem.removeprefix('step-'))}"

    def read_result(self, numbers: Sequence[str] = ()) -> JsonObject:
        """What the finished run measured.

        **Arguments:** `numbers`, names of numbers that it must hold, or of nulls.

        **Raises:** `CnnlabError` when it is not what was written.
        """
        try:
            result = json.loads(self.result.read_bytes())
            whole = isinstance(result, dict)
            if whole and "crc32" in result:  # a result of an older version has none
                whole = result.pop("crc32") == _sum(result)
            if not whole:
                raise ValueError("it was altered")
            for name in numbers:
                if not isinstance(result.get(name, ""), int | float | None):
                    raise ValueError(f"{name} is {result.get(name)!r}")
        except (OSError, ValueError, RecursionError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CnnlabError(
                f"{self.result}: damaged ({reason}); without it the same command makes it anew"
            ) from error
        return result

    def begin(self, config_yaml: str, *, force: bool = False) -> None:
        """Make the directory and its `config.yaml`; with `force`, from nothing."""
        if force:
            # The result first: a directory without one is never taken for complete.
            for file in (self.result, self.config, self.metrics, self.mlflow):
                file.unlink(missing_ok=True)
            for folder in (self.checkpoints, self.figures, self.profile, self.tensorboard):
                shutil.rmtree(folder, ignore_errors=True)
        for leftover in self.path.glob("**/.*.tmp"):  # of a process killed while it wrote
            leftover.unlink()
        write_atomically(self.config, config_yaml.encode())

    def write_result(self, result: JsonObject) -> None:
        """Write `result.json`, last of all: from then on the run is complete."""
        plain = json.loads(json.dumps(result))  # as it will be read: keys are strings
        text = json.dumps({**plain, "crc32": _sum(plain)}, indent=2)
        write_atomically(self.result, (text + "\n").encode())

    @contextmanager
    def lock(self) -> Iterator[Claim]:
        """Hold the directory for this process, on whatever machine another one may be.

        **Raises:** `Held` when another process holds it; `ConfigError` where none can be, or links
        lead out of it.
        """
        self.check_links()
        claim = Claim(self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            claim.take()
        except OSError as error:
            raise ConfigError(
                f"output: expected a folder to write in, got {self.path} ({error.strerror})"
            ) from error
        try:
            yield claim
        finally:
            claim.release()

    @contextmanager
    def saying_how_to_go_on(self) -> Iterator[None]:
        """What the system refuses (a full disk, a folder in place of a file) in one line."""
        try:
            yield
        except (OSError, CnnlabError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            if not isinstance(cause, OSError):
                raise
            what = str(error)
            if error is cause:
                what = f"{cause.filename or self.path}: {cause.strerror or cause}"
            kept = any(self.checkpoints.glob("step-*"))
            how = "goes on from the last checkpoint" if kept else "begins anew"
            raise CnnlabError(f"{what}; once that is mended, the same command {how}") from error


def _sum(result: JsonObject) -> int:
    return zlib.crc32(json.dumps(result, sort_keys=True).encode())
