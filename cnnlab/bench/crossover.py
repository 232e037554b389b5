"""From which size on one method is faster than another (A 6.3)."""

import math
from collections.abc import Sequence


def crossover(sizes: Sequence[float | int], ratios: Sequence[float | int]) -> float | None:
    """The size from which on a ratio of times stays below 1.

    **Arguments:** `sizes`, increasing; `ratios`, the time of what may win over the other's at each.

    **Returns:** where the last crossing is, on the straight line through its two neighbours when
    both axes are logarithmic; the first size, if the ratio is below 1 at all of them; None, if it
    is not below 1 at the last.
    """
    if ratios[-1] >= 1:
        return None
    last = max((i for i, ratio in enumerate(ratios) if ratio >= 1), default=None)
    if last is None:
        return float(sizes[0])
    (x1, x2), (y1, y2) = (
        [math.log(v) for v in values[last : last + 2]] for values in (sizes, ratios)
    )
    return math.exp(x1 + (x2 - x1) * y1 / (y1 - y2))
