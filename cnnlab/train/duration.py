"""Durations: given once, as steps, epochs or examples, and used as steps."""

import math
from collections.abc import Mapping
from typing import Any

UNITS = ("steps", "epochs", "examples")


def to_steps(
    duration: Mapping[str, Any], *, batch_size: int, steps_per_epoch: int, name: str = "duration"
) -> int:
    """Whole optimizer steps in a duration.

    **Arguments:**

    - `duration`: a mapping with exactly one of `steps`, `epochs`, `examples` that is not `None`;
        its value is a positive number (fractions of an epoch are allowed).
    - `batch_size`: examples a step.
    - `steps_per_epoch`: steps an epoch.
    - `name`: what an error message calls the duration.

    **Returns:** at least 1.

    **Raises:** `ValueError` when none or several units are given, or the value is not positive.
    """
    given = {unit: duration[unit] for unit in UNITS if duration.get(unit) is not None}
    if len(given) != 1:
        what = ", ".join(f"{unit}={value}" for unit, value in given.items()) or "none of them"
        raise ValueError(f"{name}: expected exactly one of {', '.join(UNITS)}, got {what}")
    [(unit, value)] = given.items()
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name}.{unit}: expected a number > 0, got {value!r}")
    per_unit = {"steps": 1, "epochs": steps_per_epoch, "examples": 1 / batch_size}[unit]
    return max(1, round(value * per_unit))
