"""Causal convolutions by Fourier transforms, of which no result sees a later input, to the bit.

One transform of the whole mixes all times: what is to come leaves its rounding in what was, which
is nothing beside the largest entry and all of a quiet beginning before a loud end. Here a sequence
is halved again and again: the second half of each piece takes what the first half contributes from
a transform of that half alone, until the pieces are short and summed tap by tap (relaxed
multiplication: van der Hoeven, Relax, but don't be too lazy, 2002).

Every pair of an input n and a result `i >= n` is met once: by the sum tap by tap if both are in
one short piece, or else by the smallest piece that has n in its first half and i in its second; if
there is none, by the longest piece of n and the one behind it. In a piece with halves of h entries
the taps `i - n` are 1 to 2 h - 1. The circular convolution of period 2 h of the first half with
taps 0 to 2 h - 1 is right for the results h to 2 h - 1: what wraps around, 2 h to 3 h - 2, falls
on 0 to h - 2.
"""

from dataclasses import replace

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms import adjoint
from cnnlab.ops.algorithms.im2col import IM2COL
from cnnlab.ops.algorithms.taps import TAPS
from cnnlab.ops.fft import (
    Convolved,
    channels_first,
    channels_last,
    crop,
    filtered,
    result_range,
)
from cnnlab.ops.precision import accumulation_dtype
from cnnlab.ops.problem import Problem
from cnnlab.ops.window import Window

SHORT = 32  # entries of the pieces that are summed directly


def causal(problem: Problem) -> bool:
    """Whether every result is of one time, and of inputs no later."""
    (extent, *_) = problem.window.extent
    (low, high), *_ = problem.padding
    return problem.rank == 1 and low >= extent - 1 and high == 0


def pieces(problem: Problem) -> tuple[int, ...]:
    """The lengths of the pieces: no longer than kernel and sequence need, half of that, ..."""
    (extent,) = problem.window.extent
    size = SHORT
    while size < min(extent, problem.spatial[0]):
        size *= 2
    lengths = [size]
    while lengths[-1] > SHORT:
        lengths.append(lengths[-1] // 2)
    return tuple(lengths)


def forward(x: Array, kernel: Array, problem: Problem, convolved: Convolved = filtered) -> Array:
    """`conv` of a problem that is `causal`, or of which later inputs are at most cropped."""
    wide = accumulation_dtype(problem.dtype)
    x, kernel = x.astype(wide), kernel.astype(wide)
    longest, *halves = pieces(problem)
    ((_, last),) = result_range(problem)
    count = -(-max(problem.spatial[0], last + 1) // longest)
    x = lax.pad(
        x, jnp.zeros((), wide), ((0, 0, 0), (0, count * longest - x.shape[1], 0), (0, 0, 0))
    )
    y = channels_first(_directly(x, kernel, problem), problem)
    x = channels_first(x, problem)
    if count > 1:
        tails = _tails(
            x.reshape(*x.shape[:-1], count, longest)[..., :-1, :], kernel, problem, convolved
        )
        y += _behind(tails, longest)
    for half in halves:
        firsts = x.reshape(*x.shape[:-1], -1, 2, half)[..., 0, :]
        tails = _tails(firsts, kernel, problem, convolved)
        y += jnp.stack([jnp.zeros_like(tails), tails], -2).reshape(y.shape)
    return channels_last(crop(y, problem), problem)


def input_gradient(
    dy: Array, kernel: Array, problem: Problem, convolved: Convolved = filtered
) -> Array:
    """The transpose in the input of a causal problem: the same with time reversed."""
    dy, problem = adjoint.without_stride(dy, problem)
    (n,), (out,), ((low, _),) = problem.spatial, problem.out, problem.padding
    turned = jnp.flip(adjoint.transpose_kernel(kernel, problem.groups), 0)
    back = replace(
        problem,
        spatial=(out,),
        out=(n,),
        in_channels=problem.out_channels,
        out_channels=problem.in_channels,
        window=replace(problem.window, padding=((n - out + low, 0),)),
    )
    return jnp.flip(forward(jnp.flip(dy, 1), turned, back, convolved), 1)


def _directly(x: Array, kernel: Array, problem: Problem) -> Array:
    """Every short piece by itself, with the taps that are as short: `(batch, n, c_out)`."""
    (dilation,) = problem.dilation
    kernel = kernel[-((SHORT - 1) // dilation + 1) :]
    before = (kernel.shape[0] - 1) * dilation
    batch, n, channels = x.shape
    part = replace(
        problem,
        batch=batch * (n // SHORT),
        spatial=(SHORT,),
        out=(SHORT,),
        window=Window(kernel.shape[:1], (1,), ((before, 0),), problem.dilation),
        dtype=x.dtype,
    )
    depthwise = problem.in_channels == problem.groups
    y = (TAPS if depthwise else IM2COL).forward(x.reshape(-1, SHORT, channels), kernel, part)
    return y.reshape(batch, n, -1)


def _tails(x: Array, kernel: Array, problem: Problem, convolved: Convolved) -> Array:
    """What pieces `(batch, g, c_in / g, pieces, size)` contribute to the `size` entries behind
    them: `(batch, g, c_out / g, pieces, size)`."""
    *lead, count, size = x.shape
    # A period of two pieces: the first of which is where results too late come back to.
    taps = min(kernel.shape[0], (2 * size - 1) // problem.dilation[0] + 1)
    part = replace(problem, window=replace(problem.window, size=(taps,)))
    x = jnp.moveaxis(x, -2, 0).reshape(count * lead[0], *lead[1:], size)
    y = convolved(x, kernel[-taps:], (2 * size,), part)[..., size:]
    y = y.reshape(count, lead[0], *y.shape[1:])
    return jnp.moveaxis(y, 0, -2)


def _behind(tails: Array, size: int) -> Array:
    """The tails, each a piece later than the one it is of."""
    y = tails.reshape(*tails.shape[:-2], -1)
    return lax.pad(y, jnp.zeros((), y.dtype), ((0, 0, 0),) * 3 + ((size, 0, 0),))
