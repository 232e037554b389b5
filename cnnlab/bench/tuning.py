"""Measure which algorithm is fastest for a convolution, in each of its three passes."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from cnnlab import nn
from cnnlab.arguments import checked, having, positive_int
from cnnlab.bench.selection import skip_reason
from cnnlab.bench.timing import interleaved, median, warmed
from cnnlab.console import progress
from cnnlab.display import View, shown
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.models.trace import trace
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, Pass, Problem, table
from cnnlab.ops.choice import serving
from cnnlab.train.experiment import Experiment


@shown
@dataclass(frozen=True)
class Tuned:
    """What was measured, convolution -> pass -> algorithm -> milliseconds, and the file of the
    table that keeps it."""

    entries: table.Table
    file: Path

    def view(self) -> View:
        rows = []
        for line, passes in self.entries.items():
            best = (f"{n} {min(times, key=times.__getitem__)}" for n, times in passes.items())
            against = sum(times[REFERENCE] for times in passes.values())
            taken = sum(min(times.values()) for times in passes.values())
            rows.append((line, ", ".join(best), f"{against / taken:.1f}x"))
        header = ("convolution", "fastest", f"as fast as {REFERENCE}")
        return View(table=[header, *rows] if rows else [], names=2, notes=[str(self.file)])


@checked
def tune(
    model: PyTree,
    input_shape: Sequence[int] | None = None,
    state: eqx.nn.State | None = None,
    *,
    batch_size: int = 128,
    seconds: float | int = 0.3,
    file: str | Path | None = None,
    show: bool = True,
) -> Tuned:
    """Measure here which algorithm is fastest for each convolution of a model, in each pass; it is
    kept, and `algorithm="auto"` takes it from then on.

    **Arguments:**

    - `model`: a layer, backbone, head or classifier; or what `cnnlab.build` made, which knows all
        else of it.
    - `input_shape`: of one input, `(*spatial, c)`, where the model does not know it; `state`: the
        model's.
    - `batch_size`: examples at a time, of training.
    - `seconds`: time for the calls of each algorithm in each pass, at least 3 calls.
    - `file`: of the table, instead of the one in the user's cache folder.
    - `show`: a progress bar.

    **Raises:** `ValueError` or `TypeError` that begins with the name of a wrong argument, or
    without an input shape; `ConfigError`, `CnnlabError`, before anything is measured, where the
    table can't be written.
    """
    if isinstance(model, Experiment):
        input_shape, batch_size = model.data.input_shape, model.settings.batch_size
        model, state = model.model, model.model_state
    input_shape = getattr(model, "in_shape", None) if input_shape is None else input_shape
    if input_shape is None:
        raise ValueError(
            "input_shape: expected the shape (*spatial, c) of one input of this model, got None"
        )
    having("model", model, "a layer or a network", "__call__")
    shape = tuple(positive_int(f"input_shape[{i}]", n) for i, n in enumerate(input_shape))
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds: expected a finite number above 0, got {seconds}")
    problems = convolutions(model, shape, positive_int("batch_size", batch_size), state)
    return measure_and_keep(problems, seconds=seconds, file=file, show=show)


def measure_and_keep(
    problems: list[Problem],
    *,
    seconds: float | int,
    file: str | Path | None = None,
    show: bool = False,
) -> Tuned:
    """As `tune`, of convolutions."""
    platform = jax.default_backend()
    check_table(file)
    todo = {table.key(problem): problem for problem in problems}
    entries: table.Table = {
        line: measure_algorithms(problem, seconds=seconds)
        for line, problem in progress(todo, show=show)
    }
    with _table_errors(file):
        return Tuned(entries, table.remember(entries, platform, file))


def check_table(file: str | Path | None) -> None:
    """**Raises:** `ConfigError` where a `file` is given that can't be written or is no table,
    `CnnlabError` where the user's own can't be."""
    with _table_errors(file):
        table.writable(jax.default_backend(), file)


@contextlib.contextmanager
def _table_errors(file: str | Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.filename or file}: {error.strerror}"
        raise (CnnlabError(reason) if file is None else ConfigError(f"table: {reason}")) from None


def convolutions(
    model: PyTree,
    input_shape: tuple[int, ...],
    batch_size: int,
    state: eqx.nn.State | None = None,
) -> list[Problem]:
    """The different convolutions of a model, in the order in which they run.

    **Arguments:** as `analysis.summary` takes them.
    """
    calls = trace(model, tuple(input_shape), state)
    problems = (
        call.layer.problem((batch_size, *call.in_shape))
        for call in calls
        if isinstance(call.layer, nn.Convolution)
    )
    return list(dict.fromkeys(problems))


def measure_algorithms(
    problem: Problem, *, seconds: float | int = 0.3, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Median milliseconds of every algorithm worth trying, by pass; they take turns.

    **Arguments:**

    - `seconds`: time for the calls of each algorithm in each pass, at least 3 calls.
    - `seed`: of the arrays' normal numbers.
    """
    names = [name for name in serving(problem) if skip_reason(name, problem) is None]
    return {which: dict(_times(problem, which, names, seconds, seed)) for which in PASSES}


def _times(
    problem: Problem, which: Pass, names: list[str], seconds: float | int, seed: int
) -> Iterator[tuple[str, float]]:
    functions = {name: _function(problem, which, name, seed) for name in names}
    warmed(functions.values())
    for name, times in interleaved(functions, seconds=float(seconds), warm=True).items():
        yield name, round(1e3 * median(times), 4)


def _function(problem: Problem, which: Pass, name: str, seed: int) -> Callable[[], Array]:
    generator = np.random.default_rng(seed)
    draw = lambda shape: jax.numpy.asarray(generator.standard_normal(shape), problem.dtype)
    x, kernel, y = (draw(s) for s in (problem.x_shape, problem.kernel_shape, problem.y_shape))
    a, b = {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[which]
    return functools.partial(jax.jit(functools.partial(_run, problem, which, name)), a, b)


def _run(problem: Problem, which: Pass, name: str, a: Array, b: Array) -> Array:
    return REGISTRY[name].compute(which, a, b, problem)
