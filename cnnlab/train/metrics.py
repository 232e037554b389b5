"""Where measurements go: `metrics.jsonl` always, and the trackers that the config asks for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cnnlab.errors import CnnlabError
from cnnlab.train.checkpoint import write_atomically

Record = dict[str, float | int | str]


@runtime_checkable
class Logger(Protocol):
    """A place for measurements."""

    def start(self, folder: Path, config: dict[str, Any]) -> None:
        """Begin (or go on with) the run in `folder`."""

    def log(self, record: Record) -> None:
        """Take one record: `step`, `kind` ('train' or 'val') and numbers."""

    def close(self) -> None:
        """Flush and let go."""


def _numbers(record: Record) -> dict[str, float]:
    """`{"train/loss": ...}`: the numbers of a record, named by its kind."""
    return {
        f"{record['kind']}/{name}": value
        for name, value in record.items()
        if name not in ("step", "kind") and not isinstance(value, str)
    }


def _missing(package: str, error: ImportError) -> CnnlabError:
    return CnnlabError(
        f"logger: {package} is not installed; get it with: pip install 'cnnlab[tracking]' ({error})"
    )


class JsonLines:
    """`metrics.jsonl`: one JSON object a line, flushed at each.

    **Arguments:**

    - `path`: the file.
    - `upto`: records of later steps are dropped first: a resumed run writes them again.
    """

    def __init__(self, path: Path, upto: int) -> None:
        kept = [line for line in read_lines(path) if line["step"] <= upto]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(path, text.encode())
        self._file = open(path, "a", buffering=1)  # noqa: SIM115

    def log(self, record: Record) -> None:
        self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


class TensorBoard:
    """Scalars for TensorBoard (package `tensorboardX`), in `<run>/tensorboard`."""

    def start(self, folder: Path, config: dict[str, Any]) -> None:
        del config
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboardX", error) from error
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def log(self, record: Record) -> None:
        for name, value in _numbers(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases (package `wandb`).

    **Arguments:** `project`; `mode`: "online", "offline" or "disabled".
    """

    def __init__(self, project: str = "cnnlab", mode: str = "online") -> None:
        if mode not in ("online", "offline", "disabled"):
            raise ValueError(f"mode: expected online, offline or disabled, got {mode!r}")
        self.project, self.mode = project, mode

    def start(self, folder: Path, config: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb", error) from error
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

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow (package `mlflow`).

    **Arguments:** `experiment`; `uri`: the tracking server, `None` for a database in the run.
    """

    def __init__(self, experiment: str = "cnnlab", uri: str | None = None) -> None:
        self.experiment, self.uri = experiment, uri

    def start(self, folder: Path, config: dict[str, Any]) -> None:
        try:
            import mlflow
        except ImportError as error:
            raise _missing("mlflow", error) from error
        self._mlflow = mlflow
        mlflow.set_tracking_uri(self.uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        mlflow.set_experiment(self.experiment)
        mlflow.start_run(run_name=folder.name)
        mlflow.log_dict(config, "config.json")

    def log(self, record: Record) -> None:
        self._mlflow.log_metrics(_numbers(record), step=int(record["step"]))

    def close(self) -> None:
        self._mlflow.end_run()


class Loggers:
    """All the places of one run."""

    def __init__(self, lines: JsonLines, trackers: Sequence[Logger]) -> None:
        self._all = [lines, *trackers]

    def log(self, record: Record) -> None:
        for logger in self._all:
            logger.log(record)

    def close(self) -> None:
        for logger in self._all:
            logger.close()
