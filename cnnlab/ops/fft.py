"""Convolution by products of Fourier transforms (A 6.3)."""

import functools
import math
from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Inexact

from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Problem

# What `filtered` does, `(x, kernel, lengths, problem) -> y`, by some transforms.
Convolved: TypeAlias = Callable[[Array, Array, tuple[int, ...], Problem], Array]
# There and back, of trailing axes; between them frequencies in any order, on any axes behind.
Transforms: TypeAlias = tuple[Callable[[Array], Array], Callable[[Array], Array]]


def filtered(
    x: Array,
    kernel: Array,
    lengths: tuple[int, ...],
    problem: Problem,
    transforms: Transforms | None = None,
) -> Inexact[Array, "batch g group_out *lengths"]:
    """The circular convolution of period `lengths`: `irfft(rfft(x) rfft(kernel))`.

    `x` is `(batch, g, c_in / g, *n)` with `n <= lengths`, the kernel as `conv` takes it.

    The transform of length L has `X_f = sum over n of x_n w^(n f)` with `w = exp(-2 pi i / L)`, so

        X_f K_f = sum over n, t of x_n k_t w^((n + t) f),

    in which, as `w^L = 1`, all pairs with one `n + t` modulo L have one factor: it is the transform
    of `y_j = sum of x_n k_t over n + t = j (mod L)`. Of real arrays `X_(L - f)` is the conjugate of
    `X_f`, so half of the frequencies are enough. Several axes: one after the other.
    """
    rank, groups = problem.rank, problem.groups
    # The sum of the chapters is a correlation; a convolution with the reversed kernel is the same.
    kernel = jnp.flip(_dilate(kernel, problem), range(rank))
    kernel = jnp.moveaxis(kernel, (-2, -1), (0, 1))
    kernel = kernel.reshape(kernel.shape[0], groups, -1, *kernel.shape[2:])
    forward, backward = transforms or _fast(x, lengths)
    fx, fk = forward(x), forward(kernel)
    # Depthwise there is nothing to sum over: an elementwise product.
    one = kernel.shape[0] == 1
    fy = fx * fk if one else jnp.einsum("bgi...,igo...->bgo...", fx, fk)
    return backward(fy)


def _fast(x: Array, lengths: tuple[int, ...]) -> Transforms:
    """Fast ones, of real arrays where `x` is real."""
    real = not jnp.issubdtype(x.dtype, jnp.complexfloating)
    pair = (jnp.fft.rfftn, jnp.fft.irfftn) if real else (jnp.fft.fftn, jnp.fft.ifftn)
    axes = tuple(range(-len(lengths), 0))
    forward, backward = (functools.partial(f, s=lengths, axes=axes) for f in pair)
    return forward, backward


def spectral(x: Array, kernel: Array, problem: Problem, convolved: Convolved = filtered) -> Array:
    """The convolution by one transform of the whole; `x` is `(batch, *spatial, c_in)`.

    Linear, never circular: the transforms are long enough that nothing which wraps around reaches
    the result. Any lengths of input and kernel, 1 to 3 spatial axes. Stride keeps every stride-th
    result.
    """
    wide = accumulation_dtype(problem.dtype)
    lengths = transform_lengths(problem)
    y = convolved(channels_first(x.astype(wide), problem), kernel.astype(wide), lengths, problem)
    return channels_last(crop(y, problem), problem)


def channels_first(x: Array, problem: Problem) -> Array:
    """`(batch, g, c_in / g, *spatial)`, because lax.fft transforms trailing axes."""
    x = jnp.moveaxis(x, -1, 1)
    return x.reshape(problem.batch, problem.groups, -1, *x.shape[2:])


def channels_last(y: Array, problem: Problem) -> Array:
    """`(batch, g, c_out / g, *out)` as `(batch, *out, c_out)`, in the problem's type."""
    y = y.reshape(problem.batch, problem.out_channels, *problem.out)
    return jnp.moveaxis(y, 1, -1).astype(problem.dtype)


def result_range(problem: Problem) -> tuple[tuple[int, int], ...]:
    """First and last entry, per axis, of the full linear convolution that the result takes."""
    zipped = zip(problem.window.extent, problem.padding, problem.out, problem.stride, strict=True)
    return tuple((e - 1 - low, e - 1 - low + (out - 1) * s) for e, (low, _), out, s in zipped)


def crop(y: Array, problem: Problem) -> Array:
    """What the padding and the stride keep of `(batch, g, c_out / g, *full)`; zeros outside it."""
    sizes = zip(result_range(problem), y.shape[3:], strict=True)
    amounts = tuple((-first, last + 1 - n, 0) for (first, last), n in sizes)
    y = lax.pad(y, jnp.zeros((), y.dtype), ((0, 0, 0),) * 3 + amounts)
    return y[(..., *(slice(None, None, s) for s in problem.stride))]


def transform_lengths(problem: Problem) -> tuple[int, ...]:
    """Period per axis of a circular convolution that holds the result's entries of the linear one.

    That has `n + e - 1` entries. A circular one of length L adds entry `j + L` to entry j, so L
    need only be long enough to leave the result's entries alone: what wraps around falls on entries
    0 to `full - 1 - L`, all before the first one that is kept where `L >= full - first`.
    """
    lengths = []
    zipped = zip(problem.spatial, problem.window.extent, result_range(problem), strict=True)
    for n, extent, (first, last) in zipped:
        full = n + extent - 1
        unspoilt = full - min(max(first, 0), full - 1)
        lengths.append(fast_length(max(n, extent, unspoilt, min(last, full - 1) + 1)))
    return tuple(lengths)


def fast_length(n: int) -> int:
    """Smallest length >= n whose prime factors are 2, 3 and 5; even where n > 1."""
    if n <= 1:
        return 1
    best = 1 << (n - 1).bit_length()
    for fives in range(round(math.log(best, 5)) + 1):
        for threes in range(round(math.log(best, 3)) + 1):
            odd = 5**fives * 3**threes
            twos = max(1, (-(-n // odd) - 1).bit_length())
            best = min(best, odd << twos)
    return best


def _dilate(kernel: Array, problem: Problem) -> Array:
    """The kernel with `dilation - 1` zeros between its taps."""
    interior = tuple((0, 0, d - 1) for d in problem.dilation)
    return lax.pad(kernel, jnp.zeros((), kernel.dtype), (*interior, (0, 0, 0), (0, 0, 0)))
