"""Arguments that have to be arrays: refused by name where they are not."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, get_args

from jaxtyping import AbstractArray

Function = TypeVar("Function", bound=Callable[..., Any])


def takes_arrays(function: Function) -> Function:
    """The function, with a check of all arguments that its annotations say are arrays.

    Without it, what is no array ends in an AttributeError from within.

    Raises:
        TypeError: in one line that names the argument, says what shape it has, and what was given.
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
