"""The interface every convolution algorithm has."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array

from cnnlab.ops.geometry import Problem


@dataclass(frozen=True)
class Algorithm:
    """One way to compute `conv`.

    Attributes:
        name: what `conv(..., algorithm=name)` asks for.
        source: where the method is described.
        refusal: why the algorithm cannot serve a problem, or None where it can.
        apply: `(x, kernel, problem) -> y` with `x` `(batch, *spatial, c_in)`, both arrays of
            `problem.dtype`; only called where `refusal` is None. Sums of 16-bit floats are
            accumulated in float32.
    """

    name: str
    source: str
    refusal: Callable[[Problem], str | None]
    apply: Callable[[Array, Array, Problem], Array]
