"""Whether operations of JAX's are computed by cnnlab (`cnnlab.accelerate`): in a process, or in a
block of one thread.

The mode is a part of JAX's own keys (`jax.make_user_context`): what was traced, lowered or compiled
in one mode is found in that mode alone.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import jax


class Mode(NamedTuple):
    """What is asked for: `on`, and `verbose`, a line about each operation."""

    on: bool = False
    verbose: bool = False


_OFF = Mode()
_lock = threading.Lock()
_context: Any = None  # JAX's; of the first use, as for a new one it compiles everything anew


def mode() -> Mode:
    """The mode of what this thread compiles."""
    return _OFF if _context is None else _context.value


def set_mode(new: Mode) -> None:
    """For all threads, but where they are in a block of their own."""
    if new.on or _context is not None:
        _made().set_global(new)


@contextmanager
def in_mode(new: Mode) -> Iterator[None]:
    """For this thread, in a block."""
    with _made()(new):
        yield


def by_jax() -> AbstractContextManager[None]:
    """For this thread, in a block: operations of JAX's are JAX's, in every mode."""
    return in_mode(_OFF) if mode().on else nullcontext()


def _made() -> Any:
    global _context
    with _lock:
        if _context is None:
            _context = jax.make_user_context(_OFF)
    return _context
