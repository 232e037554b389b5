"""What cnnlab makes of an operation of JAX's."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

PLATFORM = "cpu"


class Service(NamedTuple):
    """How an operation is computed.

    - `compute`: JAX's result of JAX's operands; None where XLA's own serves.
    - `line`: which algorithm computes what, or why XLA's own does; empty where there is nothing to
      say.
    """

    compute: Callable[..., Any] | None
    line: str


# `(*types of the operands, **parameters of the primitive) -> Service`.
Serve: TypeAlias = Callable[..., Service]


def left(operation: str, reason: str) -> Service:
    """XLA's own."""
    return Service(None, f"XLA's own: {operation}: {reason}")
