"""Measure which algorithm is fastest for a convolution, in each of its three passes."""

import functools
from collections.abc import Callable, Iterator

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from cnnlab import nn
from cnnlab.bench.selection import skip_reason
from cnnlab.bench.timing import interleaved, median
from cnnlab.models.trace import trace
from cnnlab.ops import PASSES, REGISTRY, Pass, Problem
from cnnlab.ops.choice import serving


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
    problem: Problem, *, seconds: float = 0.3, seed: int = 0
) -> dict[Pass, dict[str, float]]:
    """Median milliseconds of every algorithm worth trying, by pass; they take turns.

    **Arguments:**

    - `seconds`: time for the calls of each algorithm in each pass, at least 3 calls.
    - `seed`: of the arrays' normal numbers.
    """
    names = [name for name in serving(problem) if skip_reason(name, problem) is None]
    return {which: dict(_times(problem, which, names, seconds, seed)) for which in PASSES}


def _times(
    problem: Problem, which: Pass, names: list[str], seconds: float, seed: int
) -> Iterator[tuple[str, float]]:
    functions = {name: _function(problem, which, name, seed) for name in names}
    for name, times in interleaved(functions, seconds=seconds).items():
        yield name, round(1e3 * median(times), 4)


def _function(problem: Problem, which: Pass, name: str, seed: int) -> Callable[[], Array]:
    generator = np.random.default_rng(seed)
    draw = lambda shape: jax.numpy.asarray(generator.standard_normal(shape), problem.dtype)
    x, kernel, y = (draw(s) for s in (problem.x_shape, problem.kernel_shape, problem.y_shape))
    a, b = {"forward": (x, kernel), "input_gradient": (y, kernel), "kernel_gradient": (x, y)}[which]
    return functools.partial(jax.jit(functools.partial(_run, problem, which, name)), a, b)


def _run(problem: Problem, which: Pass, name: str, a: Array, b: Array) -> Array:
    return REGISTRY[name].compute(which, a, b, problem)
