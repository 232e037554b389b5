"""How far apart the learning curves of two networks are, in doublings of the number n of images."""

import math
from collections.abc import Mapping
from itertools import accumulate

import numpy as np

# Accuracies at increasing n, and log2 of n.
Curve = tuple[list[float], list[float]]


def curve(accuracies: Mapping[int, float]) -> Curve:
    """The curve of accuracies by n; where more images have less, the accuracy of the fewer."""
    sizes = sorted(accuracies)
    best = accumulate((accuracies[n] for n in sizes), max)
    return list(best), [math.log2(n) for n in sizes]


def further(a: Curve, b: Curve) -> float:
    """By how many doublings of n the first curve is to the right of the second, in the mean over
    the accuracies that both have."""
    low, high = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    at = np.linspace(low, high, 201)
    return float(np.mean(np.interp(at, *a) - np.interp(at, *b))) if low < high else math.nan


def images(accuracy: float, on: Curve) -> str:
    """How many images an accuracy takes, in words where that is beyond the curve."""
    best, sizes = on
    if not best[0] <= accuracy <= best[-1]:
        end = 0 if accuracy < best[0] else -1
        return f"{'over' if end else 'under'} {2 ** sizes[end]:,.0f}"
    return f"{2 ** float(np.interp(accuracy, best, sizes)):,.0f}"
