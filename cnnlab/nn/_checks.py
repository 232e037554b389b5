"""Argument checks of the layers: every refusal is one line that begins with the argument's name."""

import difflib
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from jaxtyping import Array

from cnnlab.ops import output_shape, to_tuple


def positive_int(name: str, value: Any) -> int:
    """`value` as a Python int; ValueError unless it is an integer greater than 0."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1 or isinstance(value, bool):
        raise ValueError(f"{name}: expected an int > 0, got {value!r}")
    return number


def choice(name: str, value: Any, allowed: Iterable[str]) -> str:
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


def window_geometry(
    num_spatial_dims: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[tuple[int, ...], tuple[int, ...], Any, tuple[int, ...]]:
    """(kernel_size, stride, padding, dilation) checked and hashable, ints spread over the axes."""
    kernel_size = to_tuple("kernel_size", _frozen(kernel_size), num_spatial_dims)
    stride = to_tuple("stride", _frozen(stride), num_spatial_dims)
    dilation = to_tuple("dilation", _frozen(dilation), num_spatial_dims)
    padding = _frozen(padding)
    # A map that is just large enough for one window, so that only a bad padding is refused here.
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True))
    output_shape(extent, kernel_size, stride=stride, padding=padding, dilation=dilation)
    return kernel_size, stride, padding, dilation


def _frozen(value: Any) -> Any:
    """Lists (from a config) as tuples, so that the value can be a static field."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(v) for v in value)
    return value


def check_channels(x: Array, channels: int) -> None:
    """Refuse an input whose last axis is not `channels` long: it would broadcast or mislead."""
    if x.ndim == 0 or x.shape[-1] != channels:
        raise ValueError(f"x: expected {channels} channels on the last axis, got shape {x.shape}")
