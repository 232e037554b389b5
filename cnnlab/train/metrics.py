"""Where measurements go: `metrics.jsonl` always, and the trackers that the config asks for."""

import contextlib
import importlib.util
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cnnlab.files import JsonObject, write_atomically
from cnnlab.train.event_file import EventFile

Record = dict[str, float | int | str]


@runtime_checkable
class Logger(Protocol):
    """A place for measurements."""

    def start(self, folder: Path, config: JsonObject, step: int = 0) -> None:
        """Begin the run in `folder`, or go on with it after `step`."""

    def log(self, record: Record) -> None:
        """Take one record: `step`, `kind` ('train', 'val' or 'test') and numbers."""

    def picture(self, path: Path, step: int) -> None:
        """Take a PNG file, known by its stem."""

    def close(self) -> None:
        """Flush and let go."""


def _numbers(record: Record) -> dict[str, float]:
    """`{"train/loss": ...}`: the numbers of a record, named by its kind."""
    return {
        f"{record['kind']}/{name}": value
        for name, value in record.items()
        if name not in ("step", "kind") and not isinstance(value, str)
    }


def _needs(package: str) -> None:
    """**Raises:** `ValueError` where it is not installed: before any work is done."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"{package} is not installed; get it with: pip install 'cnnlab[tracking]'")


class JsonLines:
    """`metrics.jsonl`: one JSON object a line, flushed at each.

    A damaged file is kept beside it, and what can be read of it is taken over.

    **Arguments:**

    - `path`: the file.
    - `upto`: records of later steps are dropped first: a resumed run writes them again.
    - `records`: how many there must be up to there; fewer are said. -1: not known.
    """

    def __init__(self, path: Path, upto: int, records: int = -1) -> None:
        found, damaged = _read(path)
        kept = [record for record in found if record["step"] <= upto]
        if len(kept) < records or damaged:
            aside = f"; the file as it was: {_put_aside(path)}" if damaged else ""
            number = records if records >= 0 else "all"
            print(
                f"warning: {path}: {len(kept)} of {number} records up to step {upto} are there"
                f"{aside}",
                file=sys.stderr,
            )
        text = "".join(json.dumps(record) + "\n" for record in kept)
        write_atomically(path, text.encode())
        self._file = open(path, "a", buffering=1)  # noqa: SIM115

    def log(self, record: Record) -> None:
        self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path) -> list[JsonObject]:
    """The records of a `metrics.jsonl` that can be read."""
    return _read(path)[0]


def _read(path: Path) -> tuple[list[JsonObject], bool]:
    """Records, and whether there is more: lines that are none, but for a last one cut off."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], False
    *lines, last = content.split(b"\n")
    records = [_record(line) for line in lines]
    cut_off = last.startswith(b"{") and b"\0" not in last
    damaged = None in records or not (last == b"" or cut_off)
    return [record for record in records if record is not None], damaged


def _record(line: bytes) -> JsonObject | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        return None
    numbers = (record.get("step"), record.get("loss"))
    return record if all(type(x) in (int, float) for x in numbers) else None


def _put_aside(path: Path) -> Path:
    """Rename a file to a name that is free."""
    numbered = (path.with_name(f"{path.name}.damaged-{i}") for i in itertools.count(1))
    free = next(other for other in numbered if not other.exists())
    path.rename(free)
    return free


_ENDS = ".end"


class TensorBoard:
    """Scalars for TensorBoard (package `tensorboardX`), in `<run>/tensorboard`."""

    def __init__(self) -> None:
        _needs("tensorboardX")

    def start(self, folder: Path, config: JsonObject, step: int = 0) -> None:
        del config
        self._folder = folder / "tensorboard"
        self._end: EventFile | None = None
        # What a killed process logged after the checkpoint is logged again: it counts once.
        self._file = EventFile(self._folder, purge_step=step + 1)

    def log(self, record: Record) -> None:
        from tensorboardX.summary import scalar

        file = self._of_end() if record["kind"] == "test" else self._file
        numbers = _numbers(record).items()
        file.add(int(record["step"]), *(scalar(name, value) for name, value in numbers))

    def picture(self, path: Path, step: int) -> None:
        from PIL import Image
        from tensorboardX.summary import image

        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._of_end().add(step, image(path.stem, pixels, dataformats="HWC"))

    def _of_end(self) -> EventFile:
        """For what comes after the last step, in a file of its own: a run that was killed there,
        and ends once more from the same step, replaces it."""
        if self._end is None:
            for former in self._folder.glob(f"*{_ENDS}"):
                former.unlink()
            self._end = EventFile(self._folder, _ENDS)
        return self._end

    def close(self) -> None:
        for file in filter(None, (self._file, self._end)):
            file.close()


class WandB:
    """Weights & Biases (package `wandb`).

    **Arguments:** `project`; `mode`: "online", "offline" or "disabled".
    """

    def __init__(self, project: str = "cnnlab", mode: str = "online") -> None:
        if mode not in ("online", "offline", "disabled"):
            raise ValueError(f"mode: expected online, offline or disabled, got {mode!r}")
        _needs("wandb")
        self.project, self.mode = project, mode

    def start(self, folder: Path, config: JsonObject, step: int = 0) -> None:
        del step  # wandb itself passes over steps that it has
        import wandb

        self._image = wandb.Image
        self._run = wandb.init(
            project=self.project,
            mode=self.mode,
            dir=str(folder),
            id=f"{folder.parent.name}-{folder.name}",
            resume="allow",
            config=config,
        )

    def log(self, record: Record) -> None:
        self._run.log(_numbers(record), step=int(record["step"]))

    def picture(self, path: Path, step: int) -> None:
        self._run.log({path.stem: self._image(str(path))}, step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow (package `mlflow`); `<run>/mlflow-run` holds the id with which a run is gone on with.

    **Arguments:** `experiment`; `uri`: the tracking server, `None` for a database in the run.
    """

    def __init__(self, experiment: str = "cnnlab", uri: str | None = None) -> None:
        _needs("mlflow")
        self.experiment, self.uri = experiment, uri

    def start(self, folder: Path, config: JsonObject, step: int = 0) -> None:
        del step
        import mlflow

        self._mlflow = mlflow
        mlflow.set_tracking_uri(self.uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        mlflow.set_experiment(self.experiment)
        self._logged: dict[str, int] = {}  # the last step of each number
        kept = folder / "mlflow-run"
        run = self._begun_before(kept)
        if run is None:
            run = mlflow.start_run(run_name=folder.name)
            write_atomically(kept, run.info.run_id.encode())
        mlflow.log_dict(config, "config.json")

    def _begun_before(self, kept: Path) -> Any:
        """The run whose id is kept, if the server still has it."""
        known = kept.read_bytes() if kept.is_file() else b""
        if not re.fullmatch(rb"[0-9a-f]{32}", known):
            return None
        try:
            run = self._mlflow.start_run(run_id=known.decode())
        except self._mlflow.MlflowException:  # deleted there, or another server
            return None
        history = self._mlflow.MlflowClient().get_metric_history
        for name in run.data.metrics:
            self._logged[name] = max(point.step for point in history(known.decode(), name))
        return run

    def log(self, record: Record) -> None:
        # What a killed process logged after the checkpoint is there already: it counts once.
        step = int(record["step"])
        numbers = {k: v for k, v in _numbers(record).items() if step > self._logged.get(k, -1)}
        self._mlflow.log_metrics(numbers, step=step)

    def picture(self, path: Path, step: int) -> None:
        del step
        self._mlflow.log_artifact(str(path))

    def close(self) -> None:
        self._mlflow.end_run()


class Loggers:
    """All the places of one run.

    **Arguments:** `lines`, the file of the run, None in a process that does not write it.
    """

    def __init__(self, lines: JsonLines | None, trackers: Sequence[Logger]) -> None:
        self._lines, self._trackers = [] if lines is None else [lines], trackers
        self._begun = contextlib.ExitStack()  # closes each, whatever happens to another
        for own in self._lines:
            self._begun.callback(own.close)

    def start(self, folder: Path, config: JsonObject, step: int) -> None:
        for tracker in self._trackers:
            tracker.start(folder, config, step)
            self._begun.callback(tracker.close)

    def log(self, record: Record) -> None:
        for logger in (*self._lines, *self._trackers):
            logger.log(record)

    def finish(self, record: Record, pictures: Sequence[Path]) -> None:
        """The score of the test and the figures, to the trackers: the run's files have them."""
        for tracker in self._trackers:
            tracker.log(record)
            for path in pictures:
                tracker.picture(path, int(record["step"]))

    def close(self) -> None:
        self._begun.close()
