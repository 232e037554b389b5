"""Which algorithm serves a convolution: the one asked for, or `auto`'s choice."""

from cnnlab.ops.algorithms import REGISTRY, Algorithm, Pass
from cnnlab.ops.problem import Problem


def serving(problem: Problem) -> list[str]:
    return [name for name, a in REGISTRY.items() if a.refusal(problem) is None]


def choose(name: str, problem: Problem, which: Pass, platform: str) -> Algorithm:
    if name == "auto":
        return REGISTRY["lax"]
    return REGISTRY[name]


def check(name: str, problem: Problem) -> str:
    if name == "auto":
        return name
    if name not in REGISTRY:
        raise ValueError(f"algorithm: expected one of auto, {', '.join(REGISTRY)}, got {name!r}")
    reason = REGISTRY[name].refusal(problem)
    if reason is not None:
        raise ValueError(f"algorithm: {name!r} cannot serve this convolution: {reason}")
    return name
