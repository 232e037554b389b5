"""What every filter is asked."""

import abc
import math
from collections.abc import Sequence
from numbers import Real

import equinox as eqx
from jaxtyping import Array, Float


class Filter(eqx.Module):
    """A kernel of any length for each of `channels` channels."""

    channels: eqx.AbstractVar[int]

    @abc.abstractmethod
    def kernel(self, length: int) -> Float[Array, "length c"]:
        """The kernel `(length, channels)`, from the present position to `length - 1` before it."""


def number(name: str, value: object, least: float | int | None = None) -> float:
    """A number above 0, or of at least `least`, as a float."""
    right = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not right or (value <= 0 if least is None else value < least):
        expected = "above 0" if least is None else f"of at least {least}"
        raise ValueError(f"{name}: expected a finite number {expected}, got {value!r}")
    return float(value)


def ends(name: str, value: object, above: int = 0) -> tuple[float, float]:
    """The least and the most of a range above a number."""
    two = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not two or not above < number(f"{name}[0]", value[0]) <= number(f"{name}[1]", value[1]):
        raise ValueError(f"{name}: expected two numbers {above} < least <= most, got {value!r}")
    return float(value[0]), float(value[1])
