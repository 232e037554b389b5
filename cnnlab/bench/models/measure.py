"""A network in all modes, side by side: compiled one after another, checked, timed in turns."""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cnnlab.bench.models.catalogue import NETWORKS, Case
from cnnlab.bench.models.program import PASSES
from cnnlab.bench.timing import interleaved, median
from cnnlab.errors import CnnlabError

_BOTH = ("jax", "accelerated")
# How far results of the two may lie apart at least, relative to the largest output and to a
# gradient's size. Batch normalisation of few values makes much more of rounding.
TOLERANCE = {"forward": 1e-3, "step": 2e-2}


@dataclass(frozen=True)
class Settings:
    """`modes`: as `worker.begun` takes them; `seconds`: of calls of each in each pass, but at least
    3 calls; `patience`: the most seconds that anything may take; `seed`: of weights and batch."""

    modes: tuple[str, ...]
    seconds: float
    patience: float
    seed: int


class Refused(CnnlabError):
    """A mode that can't be measured."""


class Remote:
    """A worker in its own process, which ends with the `with` block."""

    def __init__(self, case: Case, mode: str, settings: Settings) -> None:
        ours = {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        kept = {k: v for k, v in os.environ.items() if k != "CNNLAB_ACCELERATE"}
        self._patience = settings.patience
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cnnlab.bench.models.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept | ours,
        )
        self._send({**asdict(case), "mode": mode, "seed": settings.seed})

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, do: str, which: str) -> dict[str, Any]:
        """What `worker.answer` gives.

        **Raises:** `Refused`: it failed, or took more than `patience` seconds.
        """
        return self._send({"do": do, "which": which})

    def _send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the empty answer says
            self._process.stdin.write((json.dumps(request) + "\n").encode())
            self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], self._patience)[0]:
            raise Refused(f"{request.get('do', 'start')} took more than {self._patience:g} s")
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"failed": "the process ended"}
        if "failed" in answer:
            raise Refused(answer["failed"])
        return answer


Start = Callable[[Case, str, Settings], Any]


def modes_of(case: Case, settings: Settings) -> list[str]:
    """The modes that a network has: PyTorch where torchvision has it."""
    peer = bool(NETWORKS[case.network].peer)
    return [mode for mode in settings.modes if peer or not mode.startswith("torch")]


def measure(case: Case, settings: Settings, start: Start = Remote) -> dict[str, Any]:
    """One network in all modes.

    **Returns:** `{"passes": {pass: {mode: row}}, "shares": {mode: ...}}`. A row has `compile`
    (seconds), `peak` (bytes that the process held), the median `seconds`, the `fastest` and the
    number of `calls`; of JAX's modes also `bytes` (that the program works in), of the accelerated
    one the `error` beside JAX's own, where it is `worst`, and its `limit`; beyond that `wrong:
    true` and no times. Or it has only `failed`, a message.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = {which: {} for which in PASSES}
    profiles: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        workers: dict[str, Any] = {}
        for mode in modes_of(case, settings):
            with _failing(rows, mode):
                workers[mode] = stack.enter_context(start(case, mode, settings))
                for which in PASSES:
                    row = workers[mode].ask("compile", which)
                    rows[which][mode] = {"compile": row.pop("seconds"), **row}
        _compare(workers, rows)
        for mode, worker in workers.items():
            with _failing(rows, mode):
                for which in PASSES:
                    rows[which][mode]["peak"] = worker.ask("peak", which)["bytes"]
        for which in PASSES:
            _time(workers, rows[which], which, settings.seconds)
        for mode in _BOTH:
            if mode in workers and "seconds" in rows["step"].get(mode, {}):
                profiles[mode] = workers[mode].ask("profile", "step")
    return {"passes": rows, "shares": profiles}


@contextlib.contextmanager
def _failing(rows: dict[str, Any], mode: str) -> Iterator[None]:
    """A mode's failure is one of the results, and the others go on."""
    try:
        yield
    except Refused as problem:
        for which in PASSES:
            rows[which][mode] = {"failed": str(problem)}


def _compare(workers: Mapping[str, Any], rows: dict[str, Any]) -> None:
    """Set the accelerated program's results beside those of JAX's own, which may differ by a few
    times what JAX's own differ by where the inputs are rounded otherwise."""
    if any(mode not in workers or "compile" not in rows["step"][mode] for mode in _BOTH):
        return
    jax, accelerated = (workers[mode] for mode in _BOTH)
    for which in PASSES:
        with _failing(rows, "jax"):
            moved, theirs = jax.ask("disturbed", which), jax.ask("check", which)
        with _failing(rows, "accelerated"):
            ours = accelerated.ask("check", which)
        if any("failed" in rows[which][mode] for mode in _BOTH):
            return
        row = rows[which]["accelerated"]
        row["error"], row["worst"] = errors(ours, theirs)
        row["limit"] = max(TOLERANCE[which], 3 * errors(moved, theirs)[0])
        if not row["error"] <= row["limit"]:
            row["wrong"] = True


def errors(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> tuple[float, str]:
    """The largest relative difference of two workers' `check`, and where it is."""
    if "outputs" in ours:
        largest = max(map(abs, theirs["outputs"]))
        pairs = zip(ours["outputs"], theirs["outputs"], strict=True)
        return max(abs(a - b) for a, b in pairs) / largest, "outputs"
    found = {"loss": abs(ours["loss"] - theirs["loss"]) / abs(theirs["loss"])}
    # A gradient that is zero but for rounding is judged beside the others.
    least = 1e-3 * max(size for size, _ in theirs["gradients"].values())
    for name, (size, part) in theirs["gradients"].items():
        found[name] = abs(ours["gradients"][name][1] - part) / max(size, least)
    worst = max(found, key=lambda name: found[name])
    return found[worst], worst


def _time(workers: Mapping[str, Any], rows: dict[str, Any], which: str, seconds: float) -> None:
    """Let the workers take turns; their own clocks count, one after another."""
    spent = [0.0]

    def turn(worker: Any) -> Callable[[], None]:
        def run() -> None:
            spent[0] += worker.ask("call", which)["seconds"]

        return run

    good = {
        mode: turn(worker)
        for mode, worker in workers.items()
        if "failed" not in rows[mode] and "wrong" not in rows[mode]
    }
    clock = lambda: spent[0]
    for mode, times in interleaved(good, seconds=seconds, warm=True, clock=clock).items():
        rows[mode] |= {"seconds": median(times), "fastest": min(times), "calls": len(times)}
