"""Which operations of a JAX program acceleration serves, and how; nothing is compiled or run."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import Jaxpr

from cnnlab.accelerate.rules import SERVED
from cnnlab.display import View, shown


@shown
@dataclass(frozen=True)
class Served:
    """A line an operation, in the order of the program, with the number of times that it occurs;
    those of a loop's body count once."""

    lines: dict[str, int]

    def view(self) -> View:
        width = max((len(str(n)) for n in self.lines.values()), default=0)
        lines = [f"{n:>{width}} x {line}" for line, n in self.lines.items()]
        return View(notes=lines or ["no convolution, no pooling and no long sum"])


def served(function: Callable[..., Any], *inputs: Any) -> Served:
    """What acceleration makes of the convolutions, poolings and long sums of a function.

    **Arguments:**

    - `function`: any; `jax.grad(loss)` for those of a training step.
    - `inputs`: its arguments, or `jax.ShapeDtypeStruct`s for arrays.
    """
    closed, *_ = eqx.filter_make_jaxpr(function)(*inputs)
    return Served(dict(Counter(_lines(closed.jaxpr))))


def _lines(jaxpr: Jaxpr) -> Iterator[str]:
    for eqn in jaxpr.eqns:
        serve = SERVED.get(eqn.primitive)
        if serve and (line := serve(*(var.aval for var in eqn.invars), **eqn.params).line):
            yield line
        for inner in jax.tree.leaves(eqn.params, is_leaf=_is_program):
            if _is_program(inner):
                yield from _lines(getattr(inner, "jaxpr", inner))


def _is_program(value: Any) -> bool:
    return hasattr(value, "eqns")
