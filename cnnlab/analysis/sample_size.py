"""How many training examples a learner needs: a search over the size of the training set."""

from collections.abc import Callable, Sequence


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
