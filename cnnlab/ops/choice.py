"""Which algorithm serves a convolution: the one asked for, the one forced, or `auto`'s choice.

`auto` takes, in this order: what was measured on this machine (`experiments/tune`), what was
measured for the package (`tables/`), the rules. It may take another one for each gradient.
"""

import math
import os

from cnnlab.ops import rules, table
from cnnlab.ops.algorithms import REGISTRY, Algorithm, Pass
from cnnlab.ops.problem import Problem

VARIABLE = "CNNLAB_CONV"
# By how much of its own time another algorithm must have been faster than `lax` to be taken.
MARGIN = 0.15


def serving(problem: Problem) -> list[str]:
    """Names of the algorithms that can serve the problem, in the registry's order."""
    return [name for name, a in REGISTRY.items() if a.refusal(problem) is None]


def check(name: str, problem: Problem) -> str:
    """The algorithm to bind: `name`, or the one that the environment forces where it can serve.

    Raises:
        ValueError: no such algorithm, or it cannot serve the problem.
    """
    forced = os.environ.get(VARIABLE, "")
    if forced:
        _check_name(VARIABLE, forced)
        return "auto" if forced == "auto" or REGISTRY[forced].refusal(problem) else forced
    _check_name("algorithm", name)
    if name == "auto":
        return name
    reason = REGISTRY[name].refusal(problem)
    if reason is not None:
        raise ValueError(f"algorithm: {name!r} cannot serve this convolution: {reason}")
    return name


def _check_name(where: str, name: str) -> None:
    if name != "auto" and name not in REGISTRY:
        raise ValueError(f"{where}: expected one of auto, {', '.join(REGISTRY)}, got {name!r}")


def choose(name: str, problem: Problem, which: Pass, platform: str) -> Algorithm:
    """The algorithm of a name that `check` gave, for one pass on one platform."""
    return REGISTRY[name if name != "auto" else automatic(problem, which, platform)]


def automatic(problem: Problem, which: Pass, platform: str) -> str:
    """The name that `auto` stands for."""
    able = serving(problem)
    measured = table.measured(problem, which, platform)
    if times := {name: measured[name] for name in able if name in measured}:
        best = min(times, key=times.__getitem__)
        # Closer than that, measurements do not tell them apart; XLA knows what surrounds its own.
        return "lax" if times.get("lax", math.inf) < (1 + MARGIN) * times[best] else best
    return next(name for name in rules.prefer(problem, which, platform) if name in able)
