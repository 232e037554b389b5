"""The interface every convolution algorithm has."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import jax
from jaxtyping import Array

from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Pass, Problem

Map: TypeAlias = Callable[[Array, Array, Problem], Array]

OWN_SUM = "the products that it sums"  # `errors` of what sums every result by itself


@dataclass(frozen=True)
class Algorithm:
    """One way to compute the bilinear map `y = conv(x, kernel)` and its two transposes.

    Arrays are `x` `(batch, *spatial, c_in)`, `kernel` `(*kernel_size, c_in / groups, c_out)` and
    `y`, `dy` `(batch, *out, c_out)`, all of `problem.dtype`, as are the results. Sums of 16-bit
    floats are accumulated in float32. Only called where `refusal` is None.

    Attributes:
        name: what `conv(..., algorithm=name)` asks for.
        source: where the method is described.
        refusal: why the algorithm cannot serve a problem, or None where it can.
        forward: `(x, kernel, problem) -> y`.
        errors: what the rounding error of a result is relative to, in words (docs/errors.md).
        multiply_adds: products of the forward pass, by formula.
        extra_memory: bytes beside arguments and result of the forward pass, by formula.
        input_gradient: `(dy, kernel, problem) -> dx`, the transpose in `x`; by default JAX's
            transpose of `forward`.
        kernel_gradient: `(x, dy, problem) -> dkernel`, the transpose in `kernel`; the same.
        fused: `(x, kernel, bias, problem, activation) -> y`, the forward pass with a bias and one
            of `ops.fused.ACTIVATIONS`; None: they are left to XLA.
        direct: `(problem, pass, platform)`: whether every result there is a sum of its own, of its
            own products: what is large, infinite or NaN elsewhere does not touch it.
        portable: whether it is a program for any machine, which `jax.export` can write down.
        unavailable: why it can't be had on this machine, whatever the problem; None where it can.
    """

    name: str
    source: str
    refusal: Callable[[Problem], str | None]
    forward: Map
    errors: str
    multiply_adds: Callable[[Problem], int]
    extra_memory: Callable[[Problem], int]
    input_gradient: Map | None = None
    kernel_gradient: Map | None = None
    fused: Callable[[Array, Array, Array, Problem, str | None], Array] | None = None
    direct: Callable[[Problem, Pass, str], bool] = lambda problem, which, platform: False
    portable: bool = True
    unavailable: Callable[[], str | None] = lambda: None

    def compute(self, which: Pass, a: Array, b: Array, problem: Problem) -> Array:
        """One of the three maps; `a` and `b` in the order of its signature above."""
        own = getattr(self, which)
        return (own or transpose(self.forward, which))(a, b, problem)


def transpose(forward: Map, which: Pass) -> Map:
    """JAX's transpose of `forward` in `x` or in `kernel`, as the pass of that name."""

    def transposed(a: Array, b: Array, problem: Problem) -> Array:
        # Of a map of the wide type, so that the sums it makes are wide.
        wide = replace(problem, dtype=accumulation_dtype(problem.dtype))
        a, b = a.astype(wide.dtype), b.astype(wide.dtype)
        if which == "input_gradient":
            like = jax.ShapeDtypeStruct(wide.x_shape, wide.dtype)
            (out,) = jax.linear_transpose(lambda x: forward(x, b, wide), like)(a)
        else:
            like = jax.ShapeDtypeStruct(wide.kernel_shape, wide.dtype)
            (out,) = jax.linear_transpose(lambda kernel: forward(a, kernel, wide), like)(b)
        return out.astype(problem.dtype)

    return transposed
