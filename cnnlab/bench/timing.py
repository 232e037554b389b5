"""Times of several functions, measured side by side."""

import math
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import jax

__all__ = ["interleaved", "median", "warmed"]


def warmed(functions: Iterable[Callable[[], object]]) -> None:
    """Call each once, several at a time: most of that is compiling, on one core each."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(lambda function: jax.block_until_ready(function()), functions))


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    *,
    seconds: float = 1.0,
    least: int = 3,
    most: int = 100,
    warm: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every call of every function, the functions taking turns.

    Each is called once, untimed, to compile it. Then come rounds, so that all see the same
    machine: a function that is called in fewer of them has its calls spread evenly over them. The
    order is drawn anew for each round, as a function may disturb the next (threads that still
    spin, a cache that it filled).

    **Arguments:**

    - `functions`: called without arguments; a result is waited for (`jax.block_until_ready`).
    - `seconds`: each function is called as often as fits into this time, judged by its first
      timed calls,
    - `least`, `most`: but no less and no more often than this.
    - `warm`: all have been called before, so that nothing needs to be compiled.
    - `clock`: seconds since some moment.

    **Raises:** `ValueError`: a bound that is not positive, or `least > most`.
    """
    if not (seconds > 0 and 1 <= least <= most):
        raise ValueError(
            f"seconds, least, most: expected seconds > 0 and 1 <= least <= most, "
            f"got {seconds}, {least}, {most}"
        )

    def timed(function: Callable[[], object]) -> float:
        start = clock()
        jax.block_until_ready(function())
        return clock() - start

    for function in () if warm else functions.values():
        jax.block_until_ready(function())
    times = {name: [timed(function)] for name, function in functions.items()}
    # A first call may have been disturbed: where there is time, the fastest of a few decides.
    quick = [name for name, (first,) in times.items() if least * first < seconds]
    generator = random.Random(0)
    for _ in range(least - 1):
        for name in generator.sample(quick, len(quick)):
            times[name].append(timed(functions[name]))
    more = {name: _count(min(t), seconds, least, most) - len(t) for name, t in times.items()}
    rounds = max(more.values(), default=0)
    for i in range(rounds):
        for name in generator.sample(list(functions), len(functions)):
            # Calls in the rounds up to this one: one more than before where it takes part.
            if (i + 1) * more[name] // rounds > i * more[name] // rounds:
                times[name].append(timed(functions[name]))
    return times


def _count(first: float, seconds: float, least: int, most: int) -> int:
    """How many calls of `first` seconds fit into `seconds`, within bounds."""
    fitting = most if first * most <= seconds else math.floor(seconds / first)
    return min(max(fitting, least), most)
