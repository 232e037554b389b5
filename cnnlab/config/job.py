"""A job as Hydra calls it, perhaps in another process, and what it came to.

A job of a sweep leaves that in the sweep's folder, in a file of its own: so it comes back from any
process of any launcher, and outlives a kill.
"""

import dataclasses
import errno
import functools
import hashlib
import json
import os
import secrets
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cnnlab.claims import Held
from cnnlab.config.compose import compose_source
from cnnlab.config.interrupts import INTERRUPTED, Interrupts
from cnnlab.config.messages import one_line
from cnnlab.config.source import Source
from cnnlab.console import unread
from cnnlab.errors import CnnlabError, ConfigError, Interrupted, Pruned, WriteError
from cnnlab.files import write_atomically

Task = Callable[[DictConfig], object]
OK, FAILED, REFUSED = 0, 1, 2

State = Literal["done", "failed", "held", "pruned", "stopped"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a job came to.

    - `overrides`: the job's settings.
    - `state`: `held` by another process, `pruned` by a search, `stopped` by an interrupt.
    - `objective`: the number to search by, where the task has one.
    - `run`: the folder of its results, where it has one; of a job that is `held`, what is held.
    - `message`: what went wrong.
    - `call`: which call of the command it was.
    """

    overrides: tuple[str, ...]
    state: State
    objective: float | None = None
    run: str | None = None
    message: str = ""
    call: str = ""


class Jobs:
    """The outcomes of a sweep's jobs, in its folder, for one call of the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # wherever a job goes
        self._call = secrets.token_hex(8)
        self._unwritten: dict[Path, Outcome] = {}

    def begin(self) -> None:
        """Make the folder, and see whether there is room in it for what Hydra writes first.

        **Raises:** `ConfigError`.
        """
        try:
            write_atomically(self.folder / "multirun.yaml", b"\n" * 2**14)
        except WriteError as error:
            raise ConfigError(
                f"output: expected a folder to write in ({one_line(error)})"
            ) from error

    def _file(self, overrides: Sequence[str]) -> Path:
        name = hashlib.sha256("\0".join(overrides).encode()).hexdigest()[:16]
        return self.folder / "jobs" / f"{name}.json"

    def write(self, outcome: Outcome) -> None:
        """Keep it, in place of what the same job came to before; where the disk is full, say, in
        this process only."""
        outcome = dataclasses.replace(outcome, call=self._call)
        file = self._file(outcome.overrides)
        text = json.dumps(dataclasses.asdict(outcome), indent=1)
        self._unwritten.pop(file, None)
        try:
            write_atomically(file, f"{text}\n".encode())
        except WriteError as error:
            say(f"warning: {one_line(error)}")
            self._unwritten[file] = outcome

    def read(self, overrides: Sequence[str]) -> Outcome | None:
        """What a job came to; None where it did not say."""
        return self._read(self._file(overrides))

    def ended(self, overrides: Sequence[str]) -> bool:
        """Whether a job said in this call what it came to."""
        return (outcome := self.read(overrides)) is not None and outcome.call == self._call

    def found(self) -> list[Outcome]:
        """Of all jobs that said."""
        files = {*(self.folder / "jobs").glob("*.json"), *self._unwritten}
        return [outcome for file in sorted(files) if (outcome := self._read(file))]

    def _read(self, file: Path) -> Outcome | None:
        if file in self._unwritten:
            return self._unwritten[file]
        try:
            said: dict[str, Any] = json.loads(file.read_bytes())
            outcome = Outcome(tuple(said.pop("overrides")), **said)
            return outcome if self._file(outcome.overrides) == file else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def all(self, jobs: Iterable[Sequence[str]]) -> list[Outcome]:
        """Of these jobs. One that was done may have been done by another call since; one that did
        not say was killed, or its process ended in another way."""
        outcomes = []
        for overrides in jobs:
            outcome = self.read(overrides)
            if outcome is None or (outcome.state != "done" and outcome.call != self._call):
                outcome = Outcome(tuple(overrides), "failed", message="its process ended")
            outcomes.append(outcome)
        return outcomes


def shown(overrides: Sequence[str]) -> str:
    """A job's settings on one line, without what a search adds."""
    return " ".join(line for line in overrides if not line.startswith("+logger.trial="))


def outcomes_in(folder: Path) -> list[Outcome]:
    """What the jobs of the sweep of this folder came to; none where it is no sweep's."""
    return Jobs(folder).found()


class Job:
    """The task as Hydra calls it, once a job.

    **Arguments:**

    - `configs`: the checked configs that were made before the start, by their overrides.
    - `jobs`: where the outcomes of a sweep's jobs are kept; None where there is no sweep.
    """

    def __init__(
        self,
        task: Task,
        source: Source,
        configs: Mapping[tuple[str, ...], DictConfig],
        jobs: Jobs | None,
        interrupts: Interrupts,
    ) -> None:
        functools.update_wrapper(self, task)
        self.task, self.source, self.configs, self.jobs = task, source, configs, jobs
        self.interrupts = interrupts
        self.number_of_jobs = len(configs)
        self.process = os.getpid()

    def only(self, overrides: Sequence[str]) -> "Job":
        """What has to go to another process for one job."""
        key = tuple(overrides)
        job = Job.__new__(Job)
        job.__dict__.update(self.__dict__)
        job.configs = {key: self.configs[key]} if key in self.configs else {}
        return job

    def __call__(self, cfg: DictConfig) -> float | None:
        self.interrupts.idle = False
        settings = HydraConfig.get()
        overrides = list(settings.overrides.task)
        if self.jobs is None:
            return self._alone(overrides)
        about = shown(overrides)
        name = f"job {settings.job.num} ({about})"
        total = f" of {self.number_of_jobs}" if tuple(overrides) in self.configs else ""
        say(f"[job {settings.job.num}{total}] {about}")
        outcome = self._outcome(overrides, name)
        self.jobs.write(outcome)
        if outcome.state == "stopped" and os.getpid() == self.process:
            sys.exit(INTERRUPTED)  # a sweep stops with its job
        return outcome.objective

    def _alone(self, overrides: list[str]) -> float | None:
        """A run that is no sweep's: an error ends the command."""
        try:
            return _objective(self.task(self._config(overrides)))
        except Interrupted as stop:
            say(one_line(stop))
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            sys.exit(unread())
        except Exception as raised:
            error = self._known(raised)
            if full_errors() or not isinstance(error, CnnlabError):
                raise
            say(f"error: {one_line(error)}")
            sys.exit(REFUSED if isinstance(error, ConfigError) else FAILED)

    def _outcome(self, overrides: list[str], name: str) -> Outcome:
        of = functools.partial(Outcome, tuple(overrides))
        try:
            found = self.task(self._config(overrides))
        except Interrupted as stop:
            say(one_line(stop))
            return of("stopped", message=one_line(stop))
        except Held as held:
            say(f"{name}: {one_line(held)}: left to it")
            return of("held", run=str(held.folder.absolute()), message=one_line(held))
        except Pruned as pruned:
            say(f"{name}: {one_line(pruned)}")
            return of("pruned", message=one_line(pruned))
        except BrokenPipeError:
            sys.exit(unread())
        except Exception as raised:
            error = self._known(raised)
            if full_errors():
                raise
            if isinstance(error, CnnlabError):
                message = one_line(error)
            else:
                traceback.print_exception(error)
                message = type(error).__name__
            say(f"error: {name}: {message}")
            return of("failed", message=message)
        folder = getattr(getattr(found, "directory", None), "path", None)
        return of("done", _objective(found), None if folder is None else str(folder))

    def _known(self, raised: Exception) -> Exception:
        """As `known`; a Ctrl-C that other code made another error of stays one."""
        if self.interrupts.pressed:
            raise KeyboardInterrupt from raised
        return known(raised)

    def _config(self, overrides: list[str]) -> DictConfig:
        """The job's checked config: made before the start, or now for a sweeper's own proposals and
        for what only a running job of Hydra's can resolve."""
        ready = self.configs.get(tuple(overrides))
        later = any("${hydra:" in line for line in overrides)
        return compose_source(self.source, overrides) if ready is None or later else ready


def _objective(found: Any) -> float | None:
    """Of what a task gave back: a number, or something with an `objective`."""
    number = getattr(found, "objective", found)
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return float(number) if is_number else None


def known(error: Exception) -> Exception:
    """A file, a disk or a memory that refuses as a known failure; other errors as they are."""
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):  # the latter is JAX's
        return CnnlabError(f"out of memory: {str(error).splitlines()[0]}")
    if not isinstance(error, OSError) or error.strerror is None:
        return error
    if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return CnnlabError(f"{error.filename or 'a file'}: {error.strerror}")


def full_errors() -> bool:
    """Whether the traceback of every error is asked for."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def say(line: str) -> None:
    """On stderr, at once."""
    print(line, file=sys.stderr, flush=True)
