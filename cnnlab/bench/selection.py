"""Which algorithms are measured: those a config asks for, of those that serve, worth their time."""

import os
from collections.abc import Sequence

from cnnlab.ops import REFERENCE, REGISTRY, Problem
from cnnlab.ops.choice import VARIABLE, serving

# An algorithm that could not win is not measured: it would take most of the time.
MOST_MULTIPLY_ADDS = 20  # times those of the direct sum
MOST_MEMORY = 2 << 30  # bytes beside arguments and result


def requested_algorithms(value: str | Sequence[str] | None) -> list[str] | None:
    """The names that the config key `algorithms` lists; None where it is null or `all`.

    **Raises:** `ConfigError`: no such algorithm, or the environment forces one on all of cnnlab.
    """
    from cnnlab.config import ConfigError, read_value  # what measures needs no Hydra

    if os.environ.get(VARIABLE):
        raise ConfigError(
            f"{VARIABLE}: it forces one algorithm on all of cnnlab; unset it to compare"
        )
    if value in (None, "all"):
        return None
    names = [value] if isinstance(value, str) else list(value)
    return read_value(f"some of {', '.join(REGISTRY)}", names, "algorithms")


def select_algorithms(
    problem: Problem, requested: Sequence[str] | None
) -> tuple[list[str], dict[str, str]]:
    """The algorithms to measure beside the reference, and those not worth the time, with reasons.

    **Arguments:** `requested`, names of those of interest; None is all of them.
    """
    names = [
        n for n in serving(problem) if n != REFERENCE and (requested is None or n in requested)
    ]
    reasons = {name: skip_reason(name, problem) for name in names}
    skipped = {name: reason for name, reason in reasons.items() if reason}
    return [name for name in names if name not in skipped], skipped


def skip_reason(name: str, problem: Problem) -> str | None:
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
