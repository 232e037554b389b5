"""`runtime.launch=4`: one run by so many processes of this machine, each of the same command."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO

from omegaconf import DictConfig

from cnnlab.errors import ConfigError

_PATIENCE = 30.0  # seconds for the others to end, once one has failed
_INTERRUPTED = 130
_SIGNALS = [s for s in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, s)]


def launched(cfg: DictConfig) -> bool:
    """Whether a config asks for processes: they are started then, and this waits for their end.

    Signals go on to them. The first one writes to this terminal; of the others only what makes the
    run fail is seen. Each has a share of the cores, where there are enough.

    **Raises:** `ConfigError` for settings that contradict each other; `SystemExit` where the run
    fails, with its status.
    """
    number = cfg.runtime.get("launch")
    if number is None:
        return False
    for key in ("processes", "process", "coordinator"):
        if cfg.runtime[key] is not None:
            raise ConfigError(
                f"runtime.{key}: expected null, as launch={number} gives it, got {cfg.runtime[key]}"
            )
    if cfg.batch_size % number:
        raise ConfigError(
            f"batch_size: expected a multiple of the {number} processes, got {cfg.batch_size}"
        )
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    with contextlib.ExitStack() as files:
        status = _Crew(number, port, files).status()
    if status:
        sys.exit(status)
    return True


class _Crew:
    """The processes of one run."""

    def __init__(self, number: int, port: int, files: contextlib.ExitStack) -> None:
        self._errors: list[IO[str] | None] = []
        self._processes: list[subprocess.Popen] = []
        command = [
            *(sys.executable, *sys.orig_argv[1:], "runtime.launch=null"),
            *(f"runtime.processes={number}", f"runtime.coordinator=localhost:{port}"),
        ]
        for index in range(number):
            quiet = files.enter_context(tempfile.TemporaryFile("w+")) if index else None  # noqa: SIM115
            process = subprocess.Popen(
                [*command, f"runtime.process={index}"],
                env=_environment(number),
                stdout=subprocess.DEVNULL if index else None,
                stderr=quiet,
                start_new_session=True,  # so that Ctrl-C comes once, from here
            )
            self._processes.append(process)
            self._errors.append(quiet)

    def status(self) -> int:
        """Wait for the end, and say why it failed, where the first process could not."""
        with self._forwarding():
            first = self._wait()
        if first is None:
            return 0
        own = self._processes[0].returncode
        if own <= 0:  # the first one was killed, or all went well in it
            print(f"error: {self._reason(first)}", file=sys.stderr)
        code = self._processes[first].returncode if own <= 0 else own
        return code if code > 0 else 1

    def _wait(self) -> int | None:
        """Until all have ended: which failed first."""
        failed: tuple[int, float] | None = None
        while any(running := [p.poll() is None for p in self._processes]):
            bad = [i for i, p in enumerate(self._processes) if p.returncode]
            if bad and failed is None:
                failed = bad[0], time.monotonic()
            asked = any(self._processes[i].returncode == _INTERRUPTED for i in bad)
            if failed is not None and not asked and time.monotonic() > failed[1] + _PATIENCE:
                for process, there in zip(self._processes, running, strict=True):
                    if there:
                        process.kill()
            time.sleep(0.1)
        bad = [i for i, p in enumerate(self._processes) if p.returncode]
        return failed[0] if failed is not None else next(iter(bad), None)

    def _reason(self, index: int) -> str:
        process, errors = self._processes[index], self._errors[index]
        said = []
        if errors is not None:
            errors.seek(0)
            said = [line for line in errors.read().splitlines() if line.startswith("error: ")]
        if said:
            return said[-1].removeprefix("error: ")
        how = f"with status {process.returncode}"
        if process.returncode < 0:
            how = f"by {signal.Signals(-process.returncode).name}"
        return (
            f"process {index} of {len(self._processes)} ended {how}; the same command goes on from "
            "the last checkpoint"
        )

    @contextlib.contextmanager
    def _forwarding(self) -> Iterator[None]:
        def forward(number: int, frame: object) -> None:
            del frame
            for process in self._processes:
                process.send_signal(number)  # does nothing to one that has ended

        before = {}
        for name in _SIGNALS:
            if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:  # nohup
                before[name] = signal.signal(getattr(signal, name), forward)
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(getattr(signal, name), handler)


def _environment(number: int) -> dict[str, str]:
    """A process's environment: of OpenMP and XLA, so many threads as its share of the cores.

    Bound to cores of its own, the threads that wait for the other processes would be in the way of
    those that compute.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = str(max(1, (there or 1) // number))
    return {"OMP_NUM_THREADS": threads, "NPROC": threads, **os.environ}
