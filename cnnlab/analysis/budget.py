"""Channel counts that give a network a wanted size."""

import math
from collections.abc import Callable, Sequence

__all__ = ["fit_widths", "scaled_widths"]

Widths = tuple[int, ...]


def scaled_widths(
    base: Sequence[int], scale: float, *, step: int = 1, nested: bool = False
) -> Widths:
    """`base` times `scale`, rounded to multiples of `step`, at least one of it.

    With `nested`, only the first is rounded and the others keep their ratios to it, so that each
    stays a multiple of what it was a multiple of (depthwise convolutions need that).
    """
    round_to = lambda width: step * max(1, round(width / step))
    if not nested:
        return tuple(round_to(scale * width) for width in base)
    first = round_to(scale * base[0])
    return tuple(first * width // base[0] for width in base)


def fit_widths(
    count: Callable[[Widths], int],
    base: Sequence[int],
    target: int,
    *,
    step: int = 1,
    nested: bool = False,
) -> Widths:
    """Widths in the proportions of `base` whose `count` comes as near to `target` as it can.

    The common scale is found by bisection; what rounding leaves is made up by the last width,
    except with `nested`.

    **Arguments:** `count`, of widths, growing in each of them, such as a model's parameters;
    `step`, `nested`: as for `scaled_widths`.

    **Raises:** `ValueError` for a target below 1.
    """
    if target < 1:
        raise ValueError(f"target: expected a count >= 1, got {target}")
    known: dict[Widths, int] = {}

    def size(widths: Widths) -> int:
        if widths not in known:  # bisection asks for the same widths again and again
            known[widths] = count(widths)
        return known[widths]

    at = lambda scale: scaled_widths(base, scale, step=step, nested=nested)
    high = 1.0
    while size(at(high)) < target:
        high *= 2
    low = high / 2
    while size(at(low)) > target and any(width > step for width in at(low)):
        low, high = low / 2, low
    while at(low) != at(high) and high > 1.0001 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if size(at(middle)) <= target else (low, middle)
    off = lambda widths: abs(math.log(size(widths) / target))
    best = min((at(low), at(high)), key=off)
    if nested:
        return best
    return min((_last_fitted(size, w, target, step) for w in {at(low), at(high)}), key=off)


def _last_fitted(size: Callable[[Widths], int], widths: Widths, target: int, step: int) -> Widths:
    """The same with another last width, in which a size is linear."""
    *rest, last = widths
    slope = (size((*rest, last + step)) - size(widths)) / step
    wanted = last + (target - size(widths)) / slope
    return (*rest, step * max(1, round(wanted / step)))
