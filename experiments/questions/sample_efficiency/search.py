"""How many examples nets need: a search over the size of the training set, of several seeds side
by side, and the powers of d by which what they need grows."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from experiments.sample_efficiency.nets import Training, trainer
from jaxtyping import Array, PRNGKeyArray

from cnnlab import lab
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Estimate, Records

# The accuracy that the chapter speaks of.
TARGET = "0.95"
Build = Callable[[PRNGKeyArray], Any]
Draw = Callable[[int, int, int], tuple[ArraySplit, ArraySplit]]
# Where the search over sizes begins, which decides only how long it takes; it goes up to REACH
# times that size, and down to LEAST examples.
START: dict[str, Callable[[int], int]] = {
    "conv": lambda d: 64,
    "local": lambda d: 16 * d,
    "fc_sgd": lambda d: 4 * d * d,
    "fc_adam": lambda d: 4 * d * d,
}
LEAST, REACH = 4, 8


class SizeSearch:
    """The smallest training sets that reach an accuracy, for several seeds side by side.

    Sizes are on a grid, `2^(k / per_octave)` rounded, and the search assumes that accuracy grows
    with size: it doubles (or halves) until it has a size that is too small and one that suffices,
    then bisects the grid between them. What was measured for one target serves the next.
    """

    def __init__(
        self,
        measure: Callable[[Sequence[int]], Sequence[float]],
        seeds: int,
        *,
        least: int = 8,
        most: int,
        per_octave: int = 4,
    ):
        """**Arguments:** `measure(sizes)`, the test accuracy of every seed, each at a size of its
        own, 0 for a seed of which nothing is asked; `least`, `most`, the sizes to try."""
        if not 2 <= least <= most:
            raise ValueError(f"least, most: expected 2 <= least <= most, got {least}, {most}")
        grid = (round(2 ** (k / per_octave)) for k in range(per_octave * most.bit_length()))
        self._measure, self._octave = measure, per_octave
        self._grid = [size for size in grid if least <= size <= most]
        # Of every seed: accuracies by position on the grid.
        self.known: list[dict[int, float]] = [{} for _ in range(seeds)]

    def smallest(self, target: float, start: int) -> list[int | None]:
        """For each seed the smallest size on the grid whose accuracy is at least `target`, or None
        where the largest does not reach it. `start` is the size to begin with."""
        grid = self._grid
        first = min(range(len(grid)), key=lambda k: abs(grid[k] - start))
        while True:
            found = [self._bracket(known, target) for known in self.known]
            points = [self._between(small, enough, first) for small, enough in found]
            if all(k is None for k in points):
                return [None if enough is None else grid[enough] for _, enough in found]
            values = self._measure([0 if k is None else grid[k] for k in points])
            for known, k, value in zip(self.known, points, values, strict=True):
                if k is not None:
                    known[k] = value

    def _bracket(self, known: dict[int, float], target: float) -> tuple[int | None, int | None]:
        """The largest point known that is too small, and the smallest that suffices."""
        enough = min((k for k, value in known.items() if value >= target), default=None)
        below = (k for k, v in known.items() if v < target and (enough is None or k < enough))
        return max(below, default=None), enough

    def _between(self, small: int | None, enough: int | None, first: int) -> int | None:
        """The point to try next; None when the seed is done."""
        if enough is None:
            k = first if small is None else min(small + self._octave, len(self._grid) - 1)
        else:
            k = max(enough - self._octave, 0) if small is None else (small + enough) // 2
        return None if k in (small, enough) else k


def sizes_needed(
    draw: Draw,
    make: Build,
    plan: Training,
    seeds: Sequence[int],
    *,
    start: int,
    targets: Sequence[float],
    repeats: int,
    test_size: int,
    per_octave: int,
    adam: bool = False,
) -> list[dict[str, Any]]:
    """For each seed the smallest training set that reaches each target, and all that was tried:
    `[n, test accuracy, training accuracy]`.

    An accuracy is a mean over `repeats` training sets and initial weights, as among small sets
    there are lucky ones; they share the `test_size` test examples out.

    **Arguments:** `draw(stream, train_size, test_size)`, the examples of a stream; `start`, the
    size to begin with, which decides only how long it takes, up to `REACH` times as many.
    """
    streams = [seed * repeats + i for seed in seeds for i in range(repeats)]
    most, tests = REACH * start, math.ceil(test_size / repeats)
    train, test = zip(*(draw(stream, most, tests) for stream in streams), strict=True)
    data = (*stacked(train), *stacked(test))
    learn = Learners(make, plan, streams, data, adam=adam, repeats=repeats)
    search = SizeSearch(learn, len(seeds), least=LEAST, most=most, per_octave=per_octave)
    found = {str(target): search.smallest(target, start) for target in sorted(targets)}
    return [
        {"seed": seed, "sizes": {t: sizes[i] for t, sizes in found.items()}, "tried": sorted(tried)}
        for i, (seed, tried) in enumerate(zip(seeds, learn.tried, strict=True))
    ]


class Learners:
    """Trains all seeds, each with a number of examples of its own, and keeps what came of it: means
    over `repeats` consecutive streams of data and weights."""

    def __init__(
        self,
        make: Build,
        plan: Training,
        streams: Sequence[int],
        data: tuple[Array, ...],
        *,
        adam: bool = False,
        repeats: int = 1,
    ) -> None:
        self._train, self._plan = trainer(make, plan, adam=adam), plan
        self._streams, self._data, self._repeats = jnp.array(streams), data, repeats
        self.tried: list[list[list[float]]] = [[] for _ in range(len(streams) // repeats)]

    def __call__(self, sizes: Sequence[int]) -> list[float]:
        each = lambda values: jnp.repeat(jnp.array(values), self._repeats)
        steps = [self._plan.steps(n) for n in sizes]
        found = self._train(self._streams, *self._data, each(sizes), each(steps))
        # Shares of a whole number of examples: in float32, 0.95 would fall short of 0.95.
        means = np.stack([np.asarray(a, float).reshape(len(sizes), -1).mean(1) for a in found])
        means = means.round(6)
        for tried, n, accuracies in zip(self.tried, sizes, means.T.tolist(), strict=True):
            if n:
                tried.append([n, *accuracies])
        return means[0].tolist()


def stacked(parts: Iterable[ArraySplit]) -> tuple[Array, Array]:
    """Inputs and labels +1 and -1, with a leading axis of seeds."""
    x, label = zip(*((part.image, part.label) for part in parts), strict=True)
    return jnp.array(np.stack(x)), jnp.array(2.0 * np.stack(label) - 1)


def exponent(needed: Records, net: str, per_octave: int, target: str = TARGET) -> Estimate:
    """Of n(d) for a net: without an interval where a seed did not reach the target."""
    found = needed.where(net=net, target=target)
    return power(found["d"], found["n"], per_octave)


def power(d: Sequence[int], n: Sequence[float | None], per_octave: float | None = None) -> Estimate:
    """The exponent of n as a power of d; without an interval where an n is missing.

    An n that was searched for with `per_octave` sizes an octave may be as much as a step of that
    grid too large, which the interval includes: `steps_error` on either side.
    """
    there = [(math.log(x), math.log(y)) for x, y in zip(d, n, strict=True) if y is not None]
    line = lab.slope([x for x, _ in there], [y for _, y in there])
    if len(there) < len(n):
        return replace(line, low=-math.inf, high=math.inf)
    return line if per_octave is None else widened(line, steps_error(np.log(d), per_octave))


def widened(found: Estimate, error: float) -> Estimate:
    """With an error on either side that more repetitions do not make smaller."""
    return replace(found, low=found.low - error, high=found.high + error)


def steps_error(x: Sequence[float], per_octave: float) -> float:
    """How far from the slope through `log n` at `x` the grid's step can have moved it, at worst:
    the slope is `sum_i c_i log n_i`, and each `log n_i` up to `log(2) / per_octave` too large. As
    the `c_i` sum to 0, half of what they are in absolute value counts either way."""
    centred = np.asarray(x) - np.mean(x)
    weights = np.abs(centred) / np.square(centred).sum()
    return math.log(2) / per_octave * float(weights.sum()) / 2


def needed_by_seeds(sizes: Sequence[int | None]) -> str:
    if not (there := [n for n in sizes if n is not None]):
        return f"never ({len(sizes)})"
    never = sizes.count(None)
    return f"{lab.estimate(there):.0f} ({len(there)}{f', {never} never' if never else ''})"


def percent(shares: Sequence[float] | None) -> str:
    if not shares:
        return "none missed"
    return f"{lab.estimate(lab.percent(shares)):.2f} ({len(shares)})"
