"""How many examples nets need: a search over the size of the training set, of several seeds side
by side, accuracies at given sizes, and the powers of d by which what they need grows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from experiments.sample_efficiency.nets import Training, trainer
from jaxtyping import Array, PRNGKeyArray

from cnnlab import lab
from cnnlab.data.embedded import quadratic, quadratic_label
from cnnlab.lab import Estimate, Records

# The accuracy that the chapter speaks of.
TARGET = "0.95"
Build = Callable[[PRNGKeyArray], Any]
# Where the search over sizes begins, which decides only how long it takes; it goes up to REACH
# times that size, and down to LEAST examples.
START: dict[str, Callable[[int], int]] = {
    "conv": lambda d: 64,
    "local": lambda d: 16 * d,
    "fc_sgd": lambda d: 2 * d * d,
    "fc_adam": lambda d: 2 * d * d,
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
        """**Arguments:**

        - `measure(sizes)`: the test accuracy of every seed, each at a size of its own; 0 asks for
          nothing of that seed.
        - `seeds`: how many there are; `least`, `most`: the smallest and largest size to try.
        - `per_octave`: sizes between one and its double.
        """
        if not 2 <= least <= most:
            raise ValueError(f"least, most: expected 2 <= least <= most, got {least}, {most}")
        self._measure, self._per_octave = measure, per_octave
        low = next(k for k in range(most * per_octave) if self.size(k) >= least)
        high = next(k for k in range(low, most * per_octave + 1) if self.size(k + 1) > most)
        self._low, self._high = low, high
        # Of every seed: accuracies by grid point.
        self.known: list[dict[int, float]] = [{} for _ in range(seeds)]

    def size(self, k: int) -> int:
        """Of a grid point."""
        return round(2 ** (k / self._per_octave))

    def smallest(self, target: float, start: int) -> list[int | None]:
        """For each seed the smallest size on the grid whose accuracy is at least `target`, or None
        where the largest does not reach it. `start` is the size to begin with."""
        first = min(range(self._low, self._high + 1), key=lambda k: abs(self.size(k) - start))
        while True:
            points = [self._next(known, target, first) for known in self.known]
            if all(k is None for k in points):
                return [self._found(known, target) for known in self.known]
            values = self._measure([0 if k is None else self.size(k) for k in points])
            for known, k, value in zip(self.known, points, values, strict=True):
                if k is not None:
                    known[k] = value

    def _bracket(self, known: dict[int, float], target: float) -> tuple[int | None, int | None]:
        """The largest point that is too small, the smallest that suffices: those known of."""
        enough = min((k for k, value in known.items() if value >= target), default=None)
        below = (k for k, v in known.items() if v < target and (enough is None or k < enough))
        return max(below, default=None), enough

    def _next(self, known: dict[int, float], target: float, first: int) -> int | None:
        """The point to try next; None when the seed is done."""
        small, enough = self._bracket(known, target)
        if enough is None:
            k = first if small is None else min(small + self._per_octave, self._high)
        elif small is None:
            k = max(enough - self._per_octave, self._low)
        else:
            k = (small + enough) // 2
        return None if k in (small, enough) else k

    def _found(self, known: dict[int, float], target: float) -> int | None:
        enough = self._bracket(known, target)[1]
        return None if enough is None else self.size(enough)


def sizes_needed(
    net: str,
    d: int,
    make: Build,
    plan: Training,
    seeds: Sequence[int],
    *,
    targets: Sequence[float],
    repeats: int,
    test_size: int,
    per_octave: int,
) -> list[dict[str, Any]]:
    """For each seed the smallest training set that reaches each target, and all that was tried:
    `[n, test accuracy, training accuracy]`.

    An accuracy is a mean over `repeats` training sets and initial weights, as among small sets
    there are lucky ones; they share the `test_size` test examples out.
    """
    start = START[net](d)
    streams = [seed * repeats + i for seed in seeds for i in range(repeats)]
    tests = math.ceil(test_size / repeats)
    options = {"train_size": REACH * start, "test_size": tests, "val_fraction": 0}
    sets = [quadratic(dimension=d, seed=stream, **options) for stream in streams]
    data = (
        *stacked([(s.train.image, s.train.label) for s in sets]),
        *stacked([(s.test.image, s.test.label) for s in sets]),
    )
    learn = Learners(make, plan, streams, data, adam=net == "fc_adam", repeats=repeats)
    limits = {"least": LEAST, "most": REACH * start, "per_octave": per_octave}
    search = SizeSearch(learn, len(seeds), **limits)
    found = {str(target): search.smallest(target, start) for target in sorted(targets)}
    sizes = [dict(zip(found, of, strict=True)) for of in zip(*found.values(), strict=True)]
    return [
        {"seed": seed, "sizes": of, "tried": sorted(tried)}
        for seed, of, tried in zip(seeds, sizes, learn.tried, strict=True)
    ]


def image_accuracy(
    shape: tuple[int, int, int],
    make: Build,
    plan: Training,
    seeds: Sequence[int],
    *,
    sizes: Sequence[int],
    test_size: int,
) -> list[dict[str, Any]]:
    """Accuracies on Gaussian images `(h, w, 3)` whose class is 1 where the first channel has a
    larger norm than the second (Li, Zhang and Arora 2021, figure 1), for each seed and size."""
    train = [images([seed, 0], max(sizes), shape) for seed in seeds]
    test = [images([seed, 1], test_size, shape) for seed in seeds]
    learn = Learners(make, plan, seeds, (*stacked(train), *stacked(test)))
    for n in sizes:
        learn([n] * len(seeds))
    return [
        {"seed": seed, "n": n, "test": test, "training": training}
        for seed, tried in zip(seeds, learn.tried, strict=True)
        for n, test, training in tried
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
        for tried, n, accuracies in zip(self.tried, sizes, means.T.round(6).tolist(), strict=True):
            if n:
                tried.append([n, *accuracies])
        return means[0].round(6).tolist()


def stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Array, Array]:
    """Inputs and labels +1 and -1, with a leading axis of seeds."""
    x, label = zip(*parts, strict=True)
    return jnp.array(np.stack(x)), jnp.array(2.0 * np.stack(label) - 1)


def images(
    seed: Sequence[int], n: int, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).standard_normal((n, *shape), np.float32)
    # The task of B 10.2, with the first two channels for halves.
    return x, quadratic_label(np.moveaxis(x[..., :2], -1, 1).reshape(n, -1))


def exponent(needed: Records, net: str, target: str = TARGET) -> Estimate:
    """Of n(d) for a net: without an interval where a seed did not reach the target."""
    found = needed.where(net=net, target=target)
    return power(found["d"], found["n"])


def power(d: Sequence[int], n: Sequence[float | None]) -> Estimate:
    """The exponent of n as a power of d; without an interval where an n is missing."""
    there = [(math.log(x), math.log(y)) for x, y in zip(d, n, strict=True) if y is not None]
    line = lab.slope([x for x, _ in there], [y for _, y in there])
    return line if len(there) == len(n) else replace(line, low=-math.inf, high=math.inf)
