"""Intervals as pictures: where each lies, and what the claim allows, on an axis with numbers."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnnlab.lab.estimates import Number
from cnnlab.lab.verdict import Quantity

WIDTH = 300  # of a picture


@dataclass(frozen=True)
class Scale:
    """The axis of a picture, from the first to the last value."""

    first: Number
    last: Number

    @classmethod
    def of(cls, values: Iterable[Number]) -> "Scale":
        """With a margin."""
        found = list(values)
        margin = 0.08 * (max(found) - min(found)) or 1
        return cls(min(found) - margin, max(found) + margin)

    def __call__(self, value: Number) -> float:
        """Where a value lies; an infinite one, at an end."""
        share = (value - self.first) / (self.last - self.first)
        return round(WIDTH * min(max(share, 0.0), 1.0), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Places of round numbers, and these."""
        from matplotlib.ticker import MaxNLocator

        found = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(self.first, self.last)
        inside = [0.0 if abs(v) < 1e-12 else v for v in found if self.first <= v <= self.last]
        return [(self(value), f"{value:,.10g}") for value in inside]


def groups(quantities: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Estimates, as JSON, that the same range is claimed of: on one scale, with its axis."""
    found = [Quantity.of(quantity) for quantity in quantities]
    alike = itertools.groupby(found, key=lambda quantity: (quantity.least, quantity.most))
    return [_group(list(several)) for _, several in alike]


def _group(several: Sequence[Quantity]) -> dict[str, Any]:
    ends = [end for quantity in several for end in (*quantity.interval(), quantity.mean)]
    limits = [end for end in (several[0].least, several[0].most) if math.isfinite(end)]
    scale = Scale.of(value for value in (*ends, *limits) if math.isfinite(value))
    left, right = scale(several[0].least), scale(several[0].most)
    return {
        "rows": [_row(quantity, scale) for quantity in several],
        "claimed": several[0].claimed(),
        "allowed": (left, round(right - left, 1)),
        "limits": [scale(limit) for limit in limits],
        "ticks": scale.ticks(),
    }


def _row(quantity: Quantity, scale: Scale) -> dict[str, Any]:
    low, high = quantity.interval()
    row = {name: getattr(quantity, name)() for name in ("number", "telling", "evidence")}
    row["what"] = quantity.what
    places = {"low": low, "mean": quantity.mean, "high": high}
    return row | {name: scale(value) for name, value in places.items() if math.isfinite(value)}
