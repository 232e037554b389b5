"""Functions that make a layer by filling in some of its arguments, and hand on the others."""

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar

Make = TypeVar("Make", bound=Callable)


def options_of(layer: Callable, *given: str) -> Callable[[Make], Make]:
    """For a function whose `**options` are arguments of `layer`: its signature lists them, for
    `help`, for configs and for `ConvBlock`, which gives a function what it takes.

    **Arguments:** `given`, the layer's arguments that the function gives itself.
    """

    def decorate(make: Make) -> Make:
        signature = inspect.signature(make)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        known = {p.name for p in own} | set(given)
        options = [
            p.replace(kind=p.KEYWORD_ONLY)
            for p in inspect.signature(layer).parameters.values()
            if p.name not in known
        ]
        # What `inspect.signature` reads; the stubs of a function leave it out.
        make.__signature__ = signature.replace(  # pyrefly: ignore[missing-attribute]
            parameters=[*own, *options]
        )
        return make

    return decorate


def by_rank(make: Callable) -> tuple[Callable, Callable, Callable]:
    """`make` for sequences, images and volumes: its first argument, how many axes are spatial."""

    def fixed(rank: int) -> Callable:
        made = functools.partial(make, rank)
        made.__doc__ = make.__doc__
        return made

    return fixed(1), fixed(2), fixed(3)
