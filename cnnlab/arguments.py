"""Checks of arguments: every refusal is one line that begins with the argument's name."""

import difflib
import functools
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any, TypeVar, get_args

from jaxtyping import AbstractArray, Array

Function = TypeVar("Function", bound=Callable[..., Any])

# Sizes that no machine holds are refused here: XLA ends the process where a shape overflows.
MAX_SIZE = 2**31 - 1  # of a stride, a padding, an axis
MAX_ENTRIES = 2**40  # of an array


def takes_arrays(function: Function) -> Function:
    """The function, with a check of all arguments that its annotations say are arrays.

    Without it, what is no array ends in an AttributeError from within.

    **Raises:** `TypeError`: in one line that names the argument, says what shape it has, and what
    was given.
    """
    parameters = inspect.signature(function).parameters
    expected = {
        name: (i, *found)
        for i, (name, parameter) in enumerate(parameters.items())
        if (found := _array(parameter.annotation)) is not None
    }

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, (i, shape, optional) in expected.items():
            value = args[i] if i < len(args) else kwargs.get(name, _ABSENT)
            if value is _ABSENT or (optional and value is None):
                continue
            if not (hasattr(value, "shape") and hasattr(value, "dtype")):
                raise TypeError(f"{name}: expected an array ({shape}), got {shown(value)}")
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


_ABSENT = object()


def _array(annotation: Any) -> tuple[str, bool] | None:
    """The axes that an annotation gives an array, and whether it may be None; None for others."""
    options = get_args(annotation) or (annotation,)
    for option in options:
        if inspect.isclass(option) and issubclass(option, AbstractArray):
            axes = [axis for axis in option.dim_str.split() if axis != "_"]
            return ", ".join(axes) or "one axis", type(None) in options
    return None


def shown(value: Any) -> str:
    """A value as messages have it: on one line, and not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def positive_int(name: str, value: Any) -> int:
    """`value` as a Python int; ValueError unless it is an integer greater than 0."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name}: expected an int > 0, got {value!r}")
    return number


def to_tuple(
    name: str, value: int | Sequence[int], rank: int, *, minimum: int = 1
) -> tuple[int, ...]:
    """`value` as one int per spatial axis: an int is repeated `rank` times.

    **Raises:** `ValueError`: not `rank` values, or one that is not an int from `minimum` to
    `MAX_SIZE`.
    """
    if isinstance(value, Integral):
        values = (value,) * rank
        labels = (name,) * rank
    elif isinstance(value, Sequence) and not isinstance(value, str) and len(value) == rank:
        values = tuple(value)
        labels = tuple(f"{name}[{i}]" for i in range(rank))
    else:
        raise ValueError(f"{name}: expected an int or {rank} of them, got {shown(value)}")
    for label, v in zip(labels, values, strict=True):
        if not isinstance(v, Integral) or isinstance(v, bool) or v < minimum:
            raise ValueError(f"{label}: expected an int >= {minimum}, got {shown(v)}")
        if v > MAX_SIZE:
            raise ValueError(f"{label}: expected an int of at most {MAX_SIZE:,}, got {v:,}")
    return tuple(int(v) for v in values)


def check_entries(name: str, shape: Sequence[int]) -> None:
    """Refuse what asks for an array that is too large for any machine.

    **Raises:** `ValueError`, in one line that begins with `name`, the argument it comes from.
    """
    sizes = [n for n in shape if isinstance(n, Integral)]  # not those that an export leaves open
    if max(sizes, default=0) > MAX_SIZE or math.prod(sizes) > MAX_ENTRIES:
        raise ValueError(
            f"{name}: asks for an array of shape {tuple(shape)}; an axis may have up to "
            f"{MAX_SIZE:,} entries, all together {MAX_ENTRIES:,}"
        )


def one_of(name: str, value: Any, allowed: Iterable[str]) -> str:
    """`value` if it is one of `allowed`; ValueError that names the nearest one otherwise."""
    allowed = sorted(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"{name}: expected one of {', '.join(allowed)}, got {value!r} (nearest: {near!r})"
    )


def having(name: str, value: Any, what: str, *attributes: str) -> Any:
    """`value` if it has all of the attributes; TypeError that says what was expected otherwise."""
    if not all(hasattr(value, attribute) for attribute in attributes):
        shown = f"an array {value.shape}" if hasattr(value, "shape") else repr(value)[:60]
        raise TypeError(f"{name}: expected {what}, got {shown}")
    return value


def fraction(name: str, value: float) -> float:
    """`value` as a float; ValueError unless 0 <= value < 1."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number >= 0 and < 1, got {value!r}")
    return float(value)


def divisor(name: str, value: Any, **counts: int) -> int:
    """`value` as an int > 0 that divides every one of `counts`, given by argument name."""
    number = positive_int(name, value)
    for other, count in counts.items():
        if count % number:
            raise ValueError(f"{name}: expected a divisor of {other}={count}, got {value!r}")
    return number


def check_channels(x: Array, channels: int) -> None:
    """Refuse an input whose last axis is not `channels` long: it would broadcast or mislead."""
    if x.ndim == 0 or x.shape[-1] != channels:
        raise ValueError(f"x: expected {channels} channels on the last axis, got shape {x.shape}")
