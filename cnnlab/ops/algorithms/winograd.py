"""Winograd's minimal filtering for 3-tap kernels (Lavin and Gray, arXiv 1509.09308).

`F(m, 3)` computes `m` outputs of a 3-tap filter with `m + 2` products instead of `3 m`,

    y = A' [(G k) * (B' d)]      (their equation 5; nested over the axes in 2-D, their equation 8)

with `d` the `m + 2` inputs that meet them. Over channels the elementwise product becomes a matrix
product for each of the `(m + 2)^rank` positions. The transpose in `x` is the same convolution with
the kernel turned around; the transpose in `kernel` is `G' [(B' d) * (A dy)]`, read off the
formula.

Where the matrices come from (Toom and Cook's product of polynomials, transposed): let `a` and `k`
be polynomials with `m` and 3 coefficients. Their product has `m + 2`, so its values at `m + 2`
points p determine it. With `V_n` the matrix of powers `p^0 .. p^(n - 1)`, a row a point (for the
point at infinity, the coefficient of the highest power),

    product of a and k = V^-1 [(V_3 k) * (V_m a)],      V = V_(m + 2).

For a fixed k that is a matrix times a, the one that takes `a` to all sums of `a_i k_t` with
`i + t = j`. Its transpose takes d to `y_i = sum over t of k_t d_(i + t)`, which is the filter:

    y = V_m' [(V_3 k) * (V^-T d)].

So A = V_m, G = V_3, B = V^-1, but that a factor of a row of `V^-T` may go to the same row of `V_3`:
B' in whole numbers, fractions in G only, which are applied once a kernel. The points 0, 1, -1, (2,
-2,) infinity have small powers, and so small roundings; with 2 and -2 the largest entry is 8, where
the errors of F(4, 3) come from.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms import adjoint, reach, tiles
from cnnlab.ops.algorithms.base import Algorithm, Domain, Map, on_the_cpu
from cnnlab.ops.algorithms.tiles import BUDGET, map_tiles, sum_tiles
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Pass, Problem

# (B', G, A') of F(m, 3), from the interpolation points 0, 1, -1 (2, -2) and infinity.
_TRANSFORMS = {
    2: (
        np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]) / 2,
        np.array([[1, 1, 1, 0], [0, 1, -1, -1]]),
    ),
    4: (
        np.array(
            [
                [4, 0, -5, 0, 1, 0],
                [0, -4, -4, 1, 1, 0],
                [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0],
                [0, 2, -1, -2, 1, 0],
                [0, 4, 0, -5, 0, 1],
            ]
        ),
        np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24,
        np.array(
            [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
        ),
    ),
}


def _combine(matrix: np.ndarray, parts: list[Array]) -> list[Array]:
    """`matrix @ parts`, without the products by 0 and 1."""
    scaled = lambda c, part: part if c == 1 else -part if c == -1 else part * float(c)
    rows = ([scaled(c, p) for c, p in zip(row, parts, strict=True) if c] for row in matrix)
    return [functools.reduce(jnp.add, terms) for terms in rows]


def _every(x: Array, axis: int, m: int, count: int, reads: int) -> list[Array]:
    """`reads` arrays: entries `j, j + m, ..` along an axis, `count` of them, for each `j`."""
    stop = (count - 1) * m + 1
    return [lax.slice_in_dim(x, j, j + stop, m, axis) for j in range(reads)]


def _transform(x: Array, matrix: np.ndarray, m: int, counts: tuple[int, ...]) -> Array:
    """`matrix` applied to the windows of every spatial axis: `(n, *spatial, c)` ->
    `(positions, n * tiles, c)`, positions in row-major order."""
    for axis, count in enumerate(counts):
        # After `axis` steps the positions' axes are in front.
        parts = _every(x, 2 * axis + 1, m, count, matrix.shape[1])
        x = jnp.stack(_combine(matrix, parts), axis)
    return x.reshape(len(matrix) ** len(counts), -1, x.shape[-1])


def _inverse(y: Array, matrix: np.ndarray, shape: tuple[int, ...]) -> Array:
    """`matrix` applied to the positions, and the tiles put side by side: `(positions, n * tiles,
    c)` -> `(n, *(tiles * m), c)`; `shape` is `(n, *tiles)`."""
    m, reads = matrix.shape
    batch, *counts = shape
    y = y.reshape(*(reads,) * len(counts), *shape, y.shape[-1])
    for axis in reversed(range(len(counts))):
        parts = [lax.index_in_dim(y, i, axis, keepdims=False) for i in range(reads)]
        # Tile axis `axis` now follows `axis` position axes and the batch; its outputs come next.
        y = jnp.stack(_combine(matrix, parts), 2 * axis + 2)
    return y.reshape(batch, *(t * m for t in counts), y.shape[-1])


def _kernel_transform(kernel: Array, matrix: np.ndarray, rank: int) -> Array:
    """`matrix` along every axis as one product: `(positions, i, o)` -> `(positions', i, o)`."""
    nested = jnp.asarray(functools.reduce(np.kron, [matrix] * rank), kernel.dtype)
    return (nested @ kernel.reshape(nested.shape[1], -1)).reshape(-1, *kernel.shape[-2:])


def _counts(problem: Problem, m: int) -> tuple[int, ...]:
    return tuple(-(-n // m) for n in problem.out)


def _bytes_each(problem: Problem, m: int) -> int:
    """Of one example's transformed input or output, whichever is larger."""
    positions = (m + 2) ** problem.rank * math.prod(_counts(problem, m))
    itemsize = accumulation_dtype(problem.dtype).itemsize
    return positions * max(problem.in_channels, problem.out_channels) * itemsize


def _tile(problem: Problem, m: int) -> int:
    # Twice the usual: the transformed kernel is read once a tile, and is no small array.
    return tiles.tile_size(problem.batch, _bytes_each(problem, m), 2 * BUDGET)


def _windows(x: Array, problem: Problem, m: int) -> Array:
    """`B' d` of every tile: `(positions, n * tiles, c_in)`."""
    counts = _counts(problem, m)
    sizes = zip(problem.padding, counts, problem.spatial, strict=True)
    pads = [(low, t * m + 2 - low - n, 0) for (low, _), t, n in sizes]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *pads, (0, 0, 0)))
    return _transform(x, _TRANSFORMS[m][0], m, counts)


def _forward(m: int) -> Map:
    _, g, a = _TRANSFORMS[m]

    def forward(x: Array, kernel: Array, problem: Problem) -> Array:
        wide = accumulation_dtype(problem.dtype)
        counts = _counts(problem, m)
        transformed = _kernel_transform(kernel.astype(wide), g, problem.rank)

        def one(x: Array) -> Array:
            d = _windows(x.astype(wide), problem, m)
            y = _inverse(jnp.matmul(d, transformed), a, (x.shape[0], *counts))
            return y[(slice(None), *(slice(n) for n in problem.out))].astype(problem.dtype)

        return map_tiles(one, (x,), _tile(problem, m))

    return forward


def _kernel_gradient(m: int) -> Map:
    _, g, a = _TRANSFORMS[m]

    def kernel_gradient(x: Array, dy: Array, problem: Problem) -> Array:
        wide = accumulation_dtype(problem.dtype)
        counts = _counts(problem, m)
        pads = [(0, t * m - n, 0) for t, n in zip(counts, problem.out, strict=True)]

        def one(x: Array, dy: Array) -> Array:
            d = _windows(x.astype(wide), problem, m)
            dy = lax.pad(dy.astype(wide), jnp.zeros((), wide), ((0, 0, 0), *pads, (0, 0, 0)))
            # A dy: the transpose of putting tiles side by side.
            return jnp.einsum("pni,pno->pio", d, _transform(dy, a.T, m, counts))

        tile = _tile(problem, m)
        total = sum_tiles(one, (x, dy), tile)
        gradient = _kernel_transform(total, g.T, problem.rank)
        return gradient.reshape(problem.kernel_shape).astype(problem.dtype)

    return kernel_gradient


def _refusal(problem: Problem) -> str | None:
    if problem.rank > 2:
        return "it has 3 spatial axes, not 1 or 2"
    if set(problem.kernel_size) != {3}:
        return f"the kernel size is {problem.kernel_size}, not 3 along every axis"
    if set(problem.stride) != {1} or set(problem.dilation) != {1}:
        return f"it has stride {problem.stride} and dilation {problem.dilation}, not 1"
    if problem.groups > 1:
        return f"it has {problem.groups} groups, not 1"
    if not jnp.issubdtype(problem.dtype, jnp.inexact):
        return f"its fractions need floating-point numbers, not {problem.dtype}"
    return None


def pays(problem: Problem) -> bool:
    """Whether F(4, 3) saves what its transforms cost. Its matrix products are of `(rows, c_in)`
    with `(c_in, c_out)`: neither may be thin. Maps smaller than a tile waste it."""
    if problem.rank != 2:
        return False
    rows = problem.batch * math.prod(_counts(problem, 4))
    channels = min(problem.in_channels, problem.out_channels)
    saves = 2 * WINOGRAD.multiply_adds(problem) <= problem.multiply_adds
    return saves and channels >= 32 and rows >= 64


def _nanoseconds(problem: Problem, which: Pass) -> float:
    return WINOGRAD.multiply_adds(problem) / 15.0 if pays(problem) else math.inf


def _algorithm(name: str, m: int, **attributes: Any) -> Algorithm:
    def products(problem: Problem) -> int:
        positions = ((m + 2) ** problem.rank) * math.prod(_counts(problem, m))
        return problem.batch * positions * problem.in_channels * problem.out_channels

    def extra_memory(problem: Problem) -> int:
        each = _bytes_each(problem, m)
        channels = problem.in_channels * problem.out_channels
        kernel = (m + 2) ** problem.rank * channels * accumulation_dtype(problem.dtype).itemsize
        return 2 * each * _tile(problem, m) + kernel

    within = reach.forward_within(_forward(m))
    return Algorithm(
        name=name,
        source=f"F({m}, 3) of Lavin and Gray, arXiv 1509.09308",
        refusal=_refusal,
        forward=within,
        errors=f"the largest entries of its tile, {m + 2} inputs along an axis, all channels",
        multiply_adds=products,
        extra_memory=extra_memory,
        input_gradient=adjoint.by_phases(within),
        kernel_gradient=_kernel_gradient(m),
        domain=Domain(kernel_size=3, stepped=False, grouped=False),
        **attributes,
    )


WINOGRAD = _algorithm("winograd", 4, rounding=1e-4, nanoseconds=on_the_cpu(_nanoseconds))
WINOGRAD_F2 = _algorithm("winograd_f2", 2)
