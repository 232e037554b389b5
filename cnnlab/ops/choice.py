"""Which algorithm serves a convolution: the one asked for, the one forced, or `auto`'s choice.

`auto` takes, in this order: what was measured on this machine (`experiments/tune`), what was
measured for the package (`tables/`), what the algorithms predict. It may take another one for
each gradient.
"""

import math
import os
from collections import ChainMap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cnnlab.ops import table
from cnnlab.ops.algorithms import REFERENCE, REGISTRY, Algorithm, Pass
from cnnlab.ops.lowering import EXPORT
from cnnlab.ops.problem import Problem

VARIABLE = "CNNLAB_CONV"
_CHOICES = {
    "auto": "the fastest",
    "direct": "the fastest of those that sum every result by itself",
}
# What can be asked for: one of these, or an algorithm by its name.
NAMES: ChainMap[str, Any] = ChainMap(REGISTRY, _CHOICES)
# By how much of its own time another algorithm must have been faster than XLA's to be taken.
MARGIN = 0.15


def serving(problem: Problem) -> list[str]:
    """Names of the algorithms that can serve the problem, in the registry's order."""
    return [name for name in REGISTRY if _refusal(name, problem) is None]


def check(name: str, problem: Problem) -> str:
    """The algorithm to bind: `name`, or the one that the environment forces where it can serve.

    **Raises:** `ValueError`: no such algorithm, or it cannot serve the problem.
    """
    forced = os.environ.get(VARIABLE, "")
    if forced:
        _check_name(VARIABLE, forced)
        return forced if forced not in REGISTRY or not _refusal(forced, problem) else "auto"
    _check_name("algorithm", name)
    if name not in REGISTRY:
        return name
    reason = _refusal(name, problem)
    if reason is not None:
        raise ValueError(f"algorithm: {name!r} cannot serve this convolution: {reason}")
    return name


def _check_name(where: str, name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"{where}: expected one of {', '.join(NAMES)}, got {name!r}")


def choose(name: str, problem: Problem, which: Pass, platform: str) -> Algorithm:
    """The algorithm of a name that `check` gave, for one pass on one platform."""
    if name in REGISTRY and (platform != EXPORT or REGISTRY[name].portable):
        return REGISTRY[name]
    only_direct = name == "direct"
    return REGISTRY[automatic(problem, which, platform, only_direct=only_direct)]


def automatic(problem: Problem, which: Pass, platform: str, *, only_direct: bool = False) -> str:
    """The name that `auto` stands for, or, of those that sum every result by itself, `direct`."""
    problem = _sample(problem)
    able = [name for name in serving(problem) if platform != EXPORT or REGISTRY[name].portable]
    if only_direct:
        able = [name for name in able if REGISTRY[name].direct(problem, which, platform)]
    measured = {} if platform == EXPORT else table.measured(problem, which, platform)
    if times := {name: measured[name] for name in able if name in measured}:
        best = min(times, key=times.__getitem__)
        # Closer than that, measurements do not tell them apart; XLA knows what surrounds its own.
        close = times.get(REFERENCE, math.inf) < (1 + MARGIN) * times[best]
        return REFERENCE if close else best
    return predicted(able, problem, which, platform)


def predicted(names: Sequence[str], problem: Problem, which: Pass, platform: str) -> str:
    """Of algorithms that can serve, the one that should be fastest by what each says of itself."""
    return min(names, key=lambda name: REGISTRY[name].nanoseconds(problem, which, platform))


def _refusal(name: str, problem: Problem) -> str | None:
    return REGISTRY[name].refusal(_sample(problem))


def _sample(problem: Problem) -> Problem:
    """The problem with a batch of one where its size is left open, as `jax.export` allows."""
    return problem if isinstance(problem.batch, int) else replace(problem, batch=1)
