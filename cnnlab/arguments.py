"""Checks of arguments: every refusal is one line that begins with the argument's name."""

import difflib
import functools
import inspect
import math
import operator
import types
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import (
    Any,
    Literal,
    ParamSpec,
    SupportsIndex,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

from jaxtyping import AbstractArray, Array

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
Test = Callable[[object], bool]

# Sizes that no machine holds are refused here: XLA ends the process where a shape overflows.
MAX_SIZE = 2**31 - 1  # of a stride, a padding, an axis
MAX_ENTRIES = 2**40  # of an array


def takes_arrays(function: Callable[P, R]) -> Callable[P, R]:
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
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, (i, shape, optional) in expected.items():
            value = args[i] if i < len(args) else kwargs.get(name, _ABSENT)
            if value is _ABSENT or (optional and value is None):
                continue
            if not (hasattr(value, "shape") and hasattr(value, "dtype")):
                raise TypeError(f"{name}: expected an array ({shape}), got {shown(value)}")
        return function(*args, **kwargs)

    return checked


_ABSENT = object()


def _array(annotation: object) -> tuple[str, bool] | None:
    """The axes that an annotation gives an array, and whether it may be None; None for others."""
    options = get_args(annotation) or (annotation,)
    for option in options:
        if inspect.isclass(option) and issubclass(option, AbstractArray):
            axes = [axis for axis in option.dim_str.split() if axis != "_"]
            return ", ".join(axes) or "one axis", type(None) in options
    return None


def shown(value: object) -> str:
    """A value as messages have it: on one line, and not long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def positive_int(name: str, value: object) -> int:
    """`value` as a Python int.

    **Raises:** `ValueError`: it is no integer greater than 0.
    """
    try:
        number = operator.index(value) if isinstance(value, SupportsIndex) else 0
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


def one_of(name: str, value: object, allowed: Iterable[str]) -> str:
    """`value` if it is one of `allowed`.

    **Raises:** `ValueError`, which names the nearest one: it is not.
    """
    allowed = sorted(allowed)
    if value in allowed:
        return value
    near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"{name}: expected one of {', '.join(allowed)}, got {value!r} (nearest: {near!r})"
    )


def having(name: str, value: object, what: str, *attributes: str) -> Any:
    """`value` if it has all of the attributes.

    **Raises:** `TypeError`, which says `what` was expected: it lacks one.
    """
    if not all(hasattr(value, attribute) for attribute in attributes):
        shown = f"an array {value.shape}" if hasattr(value, "shape") else repr(value)[:60]
        raise TypeError(f"{name}: expected {what}, got {shown}")
    return value


def fraction(name: str, value: float) -> float:
    """`value` as a float.

    **Raises:** `ValueError`: it is not from 0 to below 1.
    """
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number >= 0 and < 1, got {value!r}")
    return float(value)


def divisor(name: str, value: object, **counts: int) -> int:
    """`value` as an int > 0 that divides every one of `counts`, given by argument name.

    **Raises:** `ValueError`: it does not.
    """
    number = positive_int(name, value)
    for other, count in counts.items():
        if count % number:
            raise ValueError(f"{name}: expected a divisor of {other}={count}, got {value!r}")
    return number


def check_channels(x: Array, channels: int) -> None:
    """Refuse an input whose last axis is not `channels` long: it would broadcast or mislead.

    **Raises:** `ValueError`.
    """
    if x.ndim == 0 or x.shape[-1] != channels:
        raise ValueError(f"x: expected {channels} channels on the last axis, got shape {x.shape}")


@overload
def checked(door: type[T]) -> type[T]: ...


@overload
def checked(door: Callable[P, R]) -> Callable[P, R]: ...


def checked(door: Callable[..., Any]) -> Callable[..., Any]:
    """The function, or the class, which refuses arguments of other types than its annotations
    say: numbers, texts, words of a list, lists of these, arrays, functions, objects of a class.

    Without it, they end in an error from within. What is annotated otherwise is not looked at.

    **Raises:** `ValueError`: in one line that names the argument: `padding: expected a whole
    number, got 'x'`. NaN is no number.
    """
    if inspect.isclass(door):
        door.__init__ = checked(door.__init__)
        return door
    signature = inspect.signature(door)
    kinds = {
        name: kind
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (kind := _kind(parameter.annotation)) is not None
    }

    @functools.wraps(door)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            phrase, test = kinds.get(name, _ANYTHING)
            if not test(value):
                raise ValueError(f"{name}: expected {phrase}, got {shown(value)}")
        return door(*args, **kwargs)

    return call


def _kind(annotation: object) -> tuple[str, Test] | None:
    """What an annotation stands for, in words and as a test; None where that is not known."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        parts = [_kind(part) for part in inner]
        if None in parts:
            return None
        return _union([part for part in parts if part is not None])
    if origin is Literal:
        return f"one of {', '.join(map(repr, inner))}", lambda v: isinstance(v, str) and v in inner
    if origin is Sequence or (origin is tuple and inner[1:] == (...,)):
        item, what = _kind(inner[0]), "tuple" if origin is tuple else "list"
        if item is None:
            return None
        phrase, test = item
        return f"a {what}, of which each is {phrase}", functools.partial(_all, origin, test)
    if origin is tuple:
        kinds = [_kind(part) for part in inner]
        if None in kinds:
            return None
        return _tuple([kind for kind in kinds if kind is not None])
    if origin is Callable:
        return "a function", callable
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if not inspect.isclass(annotation) or annotation in _UNSAID:
        return None
    if issubclass(annotation, AbstractArray):
        return "an array", lambda v: hasattr(v, "shape") and hasattr(v, "dtype")
    article = "an" if annotation.__name__[0] in "AEIOU" else "a"
    return f"{article} {annotation.__name__}", lambda v: isinstance(v, annotation)


def _union(parts: Sequence[tuple[str, Test]]) -> tuple[str, Test]:
    phrases = [phrase for phrase, _ in parts]
    if "a number" in phrases:  # whole ones, too
        phrases = [phrase for phrase in phrases if phrase != "a whole number"]
    return " or ".join(dict.fromkeys(phrases)), lambda value: any(test(value) for _, test in parts)


def _tuple(parts: Sequence[tuple[str, Test]]) -> tuple[str, Test]:
    return (
        f"({', '.join(phrase for phrase, _ in parts)})",
        lambda value: (
            isinstance(value, tuple)
            and len(value) == len(parts)
            and all(test(item) for (_, test), item in zip(parts, value, strict=True))
        ),
    )


def _all(kind: type, test: Test, value: object) -> bool:
    return (
        isinstance(value, kind)
        and not isinstance(value, str | bytes)
        and all(test(item) for item in value)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(value == value)


_UNSAID = (Any, object, inspect.Parameter.empty)
_ANYTHING: tuple[str, Test] = ("anything", lambda value: True)
_PLAIN: dict[object, tuple[str, Test]] = {
    int: ("a whole number", lambda v: isinstance(v, Integral) and not isinstance(v, bool)),
    float: ("a number", _is_number),
    bool: ("True or False", lambda v: isinstance(v, bool)),
    str: ("a text", lambda v: isinstance(v, str)),
    None: ("None", lambda v: v is None),
    type(None): ("None", lambda v: v is None),
}
