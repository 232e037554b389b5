"""The interface every convolution algorithm has: all that the rest of the code knows of one."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import jax
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array

from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Pass, Problem, describe

Map: TypeAlias = Callable[[Array, Array, Problem], Array]
Prediction: TypeAlias = Callable[[Problem, Pass, str], float]

OWN_SUM = "the products that it sums"  # `errors` of what sums every result by itself


@dataclass(frozen=True)
class Domain:
    """The kind of convolution that an algorithm is made for, as far as whoever draws one must know.

    **Attributes:**

    - `kernel_size`: the only one along every axis, or None.
    - `stepped`: whether stride and dilation may be other than 1.
    - `padded`: whether there may be padding.
    - `grouped`: whether there may be groups.
    - `lanes`: channels are multiples of it.
    - `long`: whether a sequence of some hundred entries is treated otherwise than a short one.
    """

    kernel_size: int | None = None
    stepped: bool = True
    padded: bool = True
    grouped: bool = True
    lanes: int = 1
    long: bool = False


@dataclass(frozen=True)
class Algorithm:
    """One way to compute the bilinear map `y = conv(x, kernel)` and its two transposes.

    Arrays are `x` `(batch, *spatial, c_in)`, `kernel` `(*kernel_size, c_in / groups, c_out)` and
    `y`, `dy` `(batch, *out, c_out)`, all of `problem.dtype`, as are the results. Sums of 16-bit
    floats are accumulated in float32. Only called where `refusal` is None.

    **Attributes:**

    - `name`: what `conv(..., algorithm=name)` asks for.
    - `source`: where the method is described.
    - `refusal`: why the algorithm cannot serve a problem, or None where it can.
    - `forward`: `(x, kernel, problem) -> y`.
    - `errors`: what the rounding error of a result is relative to, in words (docs/errors.md).
    - `multiply_adds`: products of the forward pass, by formula.
    - `extra_memory`: bytes beside arguments and result of the forward pass, by formula.
    - `input_gradient`: `(dy, kernel, problem) -> dx`, the transpose in `x`; by default JAX's
      transpose of `forward`.
    - `kernel_gradient`: `(x, dy, problem) -> dkernel`, the transpose in `kernel`; the same.
    - `fused`: `(x, kernel, bias, problem, activation) -> y`, the forward pass with a bias and one
      of `ops.fused.ACTIVATIONS`; None: they are left to XLA.
    - `channels_first`: `(problem, pass) -> map`, a pass for activations `(batch, c, *spatial)`, as
      other people's programs may have them; None: they are copied into the other order.
    - `outputs_first`: `(problem, pass) -> map`, a pass that is best where the program's kernel, or
      its gradient, was `(c_out, c_in / groups, *kernel_size)` before it was turned into what every
      map takes and gives; None: there is none.
    - `nanoseconds`: `(problem, pass, platform)`: about how long it takes, for `auto` to compare
      where nothing was measured; infinite where only a measurement should prefer it. Rates
      are those of two AVX2 cores with jax 0.10.1; only their ratios matter.
    - `direct`: `(problem, pass, platform)`: whether every result there is a sum of its own, of its
      own products: what is large, infinite or NaN elsewhere does not touch it.
    - `rounding`: largest error in float32 relative to the largest entry of a result, of numbers of
      about one size (see `tolerance`).
    - `domain`: what its examples and random problems are drawn from.
    - `fourier`: whether it multiplies Fourier transforms (A 6.3).
    - `most_taps`: kernels with more take XLA minutes to compile: not measured, nor taken by
      prediction where another can serve.
    - `portable`: whether it is a program for any machine, which `jax.export` can write down.
    - `unavailable`: why it can't be had on this machine, whatever the problem; None where it can.
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
    channels_first: Callable[[Problem, Pass], Map | None] = lambda problem, which: None
    outputs_first: Callable[[Problem, Pass], Map | None] = lambda problem, which: None
    nanoseconds: Prediction = lambda problem, which, platform: math.inf
    direct: Callable[[Problem, Pass, str], bool] = lambda problem, which, platform: False
    rounding: float = 1e-5
    domain: Domain = Domain()
    fourier: bool = False
    most_taps: int | None = None
    portable: bool = True
    unavailable: Callable[[], str | None] = lambda: None

    def compute(self, which: Pass, a: Array, b: Array, problem: Problem) -> Array:
        """One of the three maps; `a` and `b` in the order of its signature above."""
        own = getattr(self, which)
        return (own or transpose(self.forward, which))(a, b, problem)

    def tolerance(self, dtype: DTypeLike) -> float:
        """Largest error to expect, relative to the largest entry: that of its sums, and where they
        are wider than `dtype` half a step of the result's own rounding."""
        dtype = np.dtype(dtype)
        step = lambda d: float(jax.numpy.finfo(d).eps)
        wide = accumulation_dtype(dtype)
        sums = self.rounding * step(wide) / step(np.float32)
        return sums if wide == dtype else sums + step(dtype) / 2

    def example(self, rank: int) -> Problem | None:
        """A small problem of a rank, strided, unevenly padded and in groups where it serves that;
        None where it can't serve the rank, or this machine."""
        domain = self.domain
        size, groups = domain.kernel_size, 2 if domain.grouped else 1
        kernel = (3, 2, 2)[:rank] if size is None else (size,) * rank
        channels = (4, 6) if domain.lanes == 1 else (domain.lanes, 2 * domain.lanes)
        problem = describe(
            (2, *(5, 4, 3)[:rank], channels[0]),
            (*kernel, channels[0] // groups, channels[1]),
            stride=(2, 1, 1)[:rank] if domain.stepped else 1,
            padding=((2, 1),) * rank if domain.padded else 0,
            groups=groups,
        )
        return problem if self.refusal(problem) is None else None


def on_the_cpu(nanoseconds: Callable[[Problem, Pass], float]) -> Prediction:
    """A prediction that holds there; on accelerators XLA calls the vendor's library, which chooses
    for itself."""
    return lambda problem, which, platform: (
        nanoseconds(problem, which) if platform == "cpu" else math.inf
    )


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
