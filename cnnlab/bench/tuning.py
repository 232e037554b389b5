"""Measure which algorithm is fastest for a convolution, in each of its three passes."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np

from cnnlab import nn
from cnnlab.bench.timing import interleaved, median
from cnnlab.models.trace import trace
from cnnlab.ops import PASSES, REGISTRY, Pass, Problem
from cnnlab.ops.choice import serving

# An algorithm that could not win is not measured: it would take most of the time.
MOST_MULTIPLY_ADDS = 20  # times those of the direct sum
MOST_MEMORY = 2 << 30  # bytes beside arguments and result


def hopeless(name: str, problem: Problem) -> str | None:
    """Why an algorithm that can serve a problem is not worth measuring, or None where it is."""
    algorithm = REGISTRY[name]
    if algorithm.most_taps is not None and problem.taps > algorithm.most_taps:
        return f"its {problem.taps} taps would take minutes to compile"
    ratio = algorithm.multiply_adds(problem) / problem.multiply_adds
    if ratio > MOST_MULTIPLY_ADDS:
        return f"{ratio:.0f} times the multiply-adds of the direct sum"
    memory = algorithm.extra_memory(problem)
    if memory > MOST_MEMORY:
        return f"{memory / 2**30:.1f} GiB of memory"
    return None


def convolutions(
    model: Any, input_shape: tuple[int, ...], batch_size: int, state: eqx.nn.State | None = None
) -> list[Problem]:
    """The different convolutions of a model, in the order in which they run.

    **Arguments:** as `summary` takes them.
    """
    calls = trace(model, tuple(input_shape), state)
    problems = (
        call.layer.problem((batch_size, *call.in_shape))
        for call in calls
        if isinstance(call.layer, nn.Convolution)
    )
    return list(dict.fromkeys(problems))


def measure(
    problem: Problem, *, seconds: float = 0.3, seed: int = 0
) -> dict[Pass, dict[str, float]]:
    """Median milliseconds of every algorithm worth trying, by pass; they take turns.

    **Arguments:**

    - `seconds`: time for the calls of each algorithm in each pass, at least 3 calls.
    - `seed`: of the arrays' normal numbers.
    """
    names = [name for name in serving(problem) if hopeless(name, problem) is None]
    return {which: dict(_times(problem, which, names, seconds, seed)) for which in PASSES}


def _times(
    problem: Problem, which: Pass, names: list[str], seconds: float, seed: int
) -> Iterator[tuple[str, float]]:
    functions = {name: _function(problem, which, name, seed) for name in names}
    for name, times in interleaved(functions, seconds=seconds).items():
        yield name, round(1e3 * median(times), 4)


def _function(problem: Problem, which: Pass, name: str, seed: int) -> Callable[[], Any]:
    generator = np.random.default_rng(seed)
    draw = lambda shape: jax.numpy.asarray(generator.standard_normal(shape), problem.dtype)
    x, kernel, y = (draw(s) for s in (problem.x_shape, problem.kernel_shape, problem.y_shape))
    a, b = {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[which]
    return functools.partial(jax.jit(functools.partial(_run, problem, which, name)), a, b)


def _run(problem: Problem, which: Pass, name: str, a: Any, b: Any) -> Any:
    return REGISTRY[name].compute(which, a, b, problem)
