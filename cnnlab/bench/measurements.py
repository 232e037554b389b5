"""Measuring one convolution, and what a measurement depends on."""

import contextlib
import functools
import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TypeAlias, TypedDict

import jax
import numpy as np

from cnnlab import ops
from cnnlab.bench import contenders as routes
from cnnlab.bench.results import fingerprint
from cnnlab.bench.selection import select_algorithms
from cnnlab.bench.timing import interleaved, median
from cnnlab.ops import PASSES, Problem
from cnnlab.ops.choice import automatic
from cnnlab.versions import versions


@dataclass(frozen=True)
class Settings:
    """What is measured, and how.

    `algorithms` None is all of them; `seconds` are those of each contender in each pass.
    """

    passes: tuple[str, ...]
    algorithms: tuple[str, ...] | None
    peers: tuple[str, ...]
    seconds: float
    seed: int


class TimedRow(TypedDict, total=False):
    """One contender in one pass: its `error`; and the median `seconds`, the `fastest` and how many
    `calls`, or `wrong`; or only `failed`, a message."""

    error: float | str  # a text where it is no number, which JSON does not have
    seconds: float
    fastest: float
    calls: int
    wrong: bool
    failed: str


class Case(TypedDict):
    """What was measured of one convolution: rows by pass and contender, and why an algorithm was
    skipped."""

    multiply_adds: int
    skipped: dict[str, str]
    passes: dict[str, dict[str, TimedRow]]


def measure_convolution(problem: Problem, settings: Settings) -> Case:
    """Check all contenders against the reference, then time those that agree, side by side."""
    arrays = routes.random_operands(problem, settings.seed)
    algorithms, skipped = select_algorithms(problem, settings.algorithms)
    contenders = routes.contenders(problem, arrays, algorithms, settings.peers)
    return {
        "multiply_adds": problem.multiply_adds,
        "skipped": skipped,
        "passes": {which: _rows(contenders, which, settings) for which in settings.passes},
    }


def _rows(
    contenders: dict[str, routes.Contender], which: str, settings: Settings
) -> dict[str, TimedRow]:
    reference = contenders[routes.REFERENCE].result(which)
    rows = {name: _checked(c, which, reference) for name, c in contenders.items()}
    agree = {
        name: contenders[name].run[which]
        for name, row in rows.items()
        if "failed" not in row and "wrong" not in row
    }
    for name, times in interleaved(agree, seconds=settings.seconds, warm=True).items():
        rows[name] |= {"seconds": median(times), "fastest": min(times), "calls": len(times)}
    return rows


def _checked(contender: routes.Contender, which: str, reference: Sequence[np.ndarray]) -> TimedRow:
    """The row of a contender before it is timed; it also compiles it."""
    try:
        error = routes.largest_error(contender.result(which), reference)
    except Exception as problem:  # its own failure is one of the results, and the others go on
        return {"failed": " ".join(f"{type(problem).__name__}: {problem}".split())[:200]}
    row: TimedRow = {"error": error if math.isfinite(error) else str(error)}
    return row if error <= contender.tolerance else {**row, "wrong": True}


Routes: TypeAlias = Callable[[Problem, routes.Operands], Mapping[str, routes.Contender]]


class Times(TypedDict):
    """Of several routes to one convolution."""

    seconds: dict[str, list[float]]
    wrong: dict[str, str]


def timed(
    problem: Problem,
    *,
    repeats: int,
    seconds: float,
    seed: int,
    peers: Sequence[str] = (),
    leave_out: Callable[[str, Problem], bool] = lambda name, problem: False,
    more: Routes = lambda problem, arrays: {},
) -> Times:
    """Median seconds of a forward pass by every route that computes what the reference does.

    The routes take turns within each of the repetitions, each of which gives one median. What
    chooses among the algorithms (`auto`) is left out, for they are timed themselves.

    **Arguments:**

    - `seconds`: of the calls of each route in each repetition, but at least 3 calls.
    - `peers`: as `contenders` takes them; `more`: further routes.
    - `leave_out`: algorithms that are not worth compiling, beside those of `skip_reason`.

    **Returns:** the median seconds of each route in each repetition, and the errors of those that
    are wrong.
    """
    arrays = routes.random_operands(problem, seed)
    names, _ = select_algorithms(problem, None)
    names = [name for name in names if not leave_out(name, problem)]
    found = routes.contenders(problem, arrays, names, peers)
    found = {n: c for n, c in found.items() if n not in routes.CHOICES}
    found |= dict(more(problem, arrays))
    expected = found[routes.REFERENCE].result("forward")
    errors = {n: routes.largest_error(c.result("forward"), expected) for n, c in found.items()}
    wrong = {n: str(e) for n, e in errors.items() if not e <= found[n].tolerance}
    right = {n: c.run["forward"] for n, c in found.items() if n not in wrong}
    medians: dict[str, list[float]] = {n: [] for n in right}
    for _ in range(repeats):
        for n, times in interleaved(right, seconds=seconds, warm=True).items():
            medians[n].append(median(times))
    return {"seconds": medians, "wrong": wrong}


def conditions(problem: Problem, settings: Settings) -> dict[str, object]:
    """What a record holds for, besides the machine: under others a case is measured again."""
    platform = jax.default_backend()
    found = {
        **asdict(settings),
        "code": code(),
        "auto": {which: automatic(problem, which, platform) for which in PASSES},
    }
    return json.loads(json.dumps(found))  # as it comes back from the file


@functools.cache
def code() -> str:
    """A short hash of the convolutions' source."""
    return fingerprint(ops)


def machine(peers: Sequence[str] = ("torch",)) -> dict[str, object]:
    """What times depend on besides the code; `peers` are packages that are measured, too."""
    found = versions()
    for peer in peers:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[peer] = metadata.version(peer)
    device = jax.devices()[0]
    return {
        "versions": found,
        "device": f"{jax.device_count()} x {device.device_kind}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),  # PyTorch's
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
