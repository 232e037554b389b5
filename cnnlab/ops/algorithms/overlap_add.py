"""Fourier transforms of blocks (A 6.3, overlap-add): for inputs much longer than the kernel.

The input is cut into blocks, each is convolved by itself, and the results, longer than the blocks
by the kernel's length less one, are added where they overlap. Transforms of the kernel's size in
place of the input's: fewer operations, and they stay in the cache.
"""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Algorithm, on_the_cpu
from cnnlab.ops.algorithms.causal import causal
from cnnlab.ops.algorithms.fft import FFT, RATE, cost, cost_of_pieces, exact, memory, refusal
from cnnlab.ops.fft import channels_first, channels_last, crop, fast_length, filtered
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Pass, Problem

# A transform this many kernels long does least work per entry, or nearly so, for most kernels.
_KERNELS = 4
_SHORTEST = 64


def _lengths(problem: Problem) -> tuple[int, ...]:
    """Transform length per axis: no longer than the whole convolution needs."""
    extents = problem.window.extent
    shortest = _SHORTEST if problem.rank == 1 else 16
    sizes = zip(extents, problem.spatial, strict=True)
    return tuple(
        min(fast_length(max(_KERNELS * e, shortest)), fast_length(n + e - 1)) for e, n in sizes
    )


def _blocks(problem: Problem) -> tuple[tuple[int, int], ...]:
    """`(count, size)` of the blocks along every axis."""
    extents = problem.window.extent
    sizes = [length - e + 1 for length, e in zip(_lengths(problem), extents, strict=True)]
    return tuple((-(-n // size), size) for n, size in zip(problem.spatial, sizes, strict=True))


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    wide = accumulation_dtype(problem.dtype)
    lengths, blocks = _lengths(problem), _blocks(problem)
    x = _cut(channels_first(x.astype(wide), problem), blocks)
    # The axes of the blocks join the batch for the transforms.
    lead = x.shape[: problem.rank]
    y = filtered(x.reshape(-1, *x.shape[problem.rank + 1 :]), kernel.astype(wide), lengths, problem)
    y = y.reshape(*lead, problem.batch, *y.shape[1:])
    for axis, (count, size) in enumerate(blocks):
        y = _add(y, axis - problem.rank, count, size)
    return channels_last(crop(y, problem), problem)


def _cut(x: Array, blocks: tuple[tuple[int, int], ...]) -> Array:
    """`(batch, g, c, *spatial)` as `(*counts, batch, g, c, *sizes)`."""
    rank = len(blocks)
    missing = [(0, c * s - n, 0) for (c, s), n in zip(blocks, x.shape[3:], strict=True)]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0),) * 3 + tuple(missing))
    x = x.reshape(*x.shape[:3], *(part for pair in blocks for part in pair))
    return jnp.moveaxis(x, [3 + 2 * axis for axis in range(rank)], range(rank))


def _add(y: Array, axis: int, count: int, size: int) -> Array:
    """Put blocks, counted along the first axis, one after another along `axis`, adding overlaps."""
    y = jnp.moveaxis(y, 0, axis - 1)
    axis %= y.ndim
    length = y.shape[axis]
    # A block's result reaches over `reach` blocks: one sum of as many shifted rows of blocks.
    reach = -(-length // size)
    total = zero = jnp.zeros((), y.dtype)
    for part in range(reach):
        piece = lax.slice_in_dim(y, part * size, min((part + 1) * size, length), axis=axis)
        pads = [(0, 0, 0)] * y.ndim
        pads[axis] = (0, size - piece.shape[axis], 0)
        pads[axis - 1] = (part, reach - 1 - part, 0)
        total = total + lax.pad(piece, zero, pads)
    return total.reshape(*total.shape[: axis - 1], -1, *total.shape[axis + 1 :])


def _count(problem: Problem) -> int:
    return math.prod(count for count, _ in _blocks(problem))


def _nanoseconds(problem: Problem, which: Pass) -> float:
    """Cutting and adding take time: blocks must save a third to pay."""
    if causal(problem) and which != "kernel_gradient":
        return math.inf  # as the other, which has no blocks to cut then
    return cost(problem, _lengths(problem), _count(problem)) / (RATE * 2 / 3)


FFT_OVERLAP_ADD = Algorithm(
    name="fft_overlap_add",
    source="A 6.3; overlap-add after Stockham (1966)",
    refusal=refusal,
    **exact(_forward),
    errors="the largest entry of its block (of a causal one: of what came before)",
    multiply_adds=lambda problem: (
        cost_of_pieces(problem)
        if causal(problem)
        else cost(problem, _lengths(problem), _count(problem))
    ),
    extra_memory=lambda problem: memory(problem, _lengths(problem), _count(problem)),
    nanoseconds=on_the_cpu(_nanoseconds),
    rounding=FFT.rounding,
    domain=FFT.domain,
    fourier=True,
)
