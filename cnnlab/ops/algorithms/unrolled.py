"""Images and volumes as sequences: their rows one after another, zeros behind each.

The entry `(i, j)` lies at `i P + j`, for rows of `P` positions, and so does a tap: results, entries
and taps are as far apart as in the image. Where `P` holds a row and the longer of its paddings, all
that a window reads beside a row is these zeros; where it holds a row of the kernel, no two taps lie
in one place. More axes: the same for each after the first.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.adjoint import without_stride
from cnnlab.ops.algorithms.base import Map
from cnnlab.ops.problem import Pass, Problem
from cnnlab.ops.window import Window


def sequence(problem: Problem) -> Problem:
    """The convolution of sequences that has the results of every window, whatever the stride."""
    return _unrolled(_every_window(problem))


def unrolled(which: Pass, convolve: Callable[[Pass, Array, Array, Problem], Array]) -> Map:
    """A pass of images by one of sequences."""

    def forward(x: Array, kernel: Array, problem: Problem) -> Array:
        every = _every_window(problem)
        y = convolve(which, _rows(x, every), _taps(kernel, every), _unrolled(every))
        y = _image(y, every, every.out)
        return y[(slice(None), *(slice(None, None, s) for s in problem.stride))]

    def input_gradient(dy: Array, kernel: Array, problem: Problem) -> Array:
        dy, every = without_stride(dy, problem)
        dx = convolve(which, _rows(dy, every), _taps(kernel, every), _unrolled(every))
        return _image(dx, every, every.spatial)

    def kernel_gradient(x: Array, dy: Array, problem: Problem) -> Array:
        dy, every = without_stride(dy, problem)
        dk = convolve(which, _rows(x, every), _rows(dy, every), _unrolled(every))
        return _kernel(dk, every)

    maps = {"forward": forward, "input_gradient": input_gradient}
    return maps.get(which, kernel_gradient)


def _every_window(problem: Problem) -> Problem:
    """The same with stride 1."""
    window = replace(problem.window, stride=(1,) * problem.rank)
    return replace(problem, window=window, out=window.output_shape(problem.spatial))


def _lengths(problem: Problem) -> tuple[int, ...]:
    """Positions of a row, along each axis after the first."""
    sizes = zip(problem.spatial, problem.padding, problem.out, problem.window.extent, strict=True)
    return tuple(max(n + max(pads), out, e) for n, pads, out, e in sizes)[1:]


def _unrolled(problem: Problem) -> Problem:
    lengths = _lengths(problem)
    steps = [math.prod(lengths[axis:]) for axis in range(problem.rank)]
    last = sum((e - 1) * s for e, s in zip(problem.window.extent, steps, strict=True))
    low = sum(low * s for (low, _), s in zip(problem.padding, steps, strict=True))
    n, out = problem.spatial[0] * steps[0], problem.out[0] * steps[0]
    window = Window((last + 1,), (1,), ((low, out - n + last - low),), (1,))
    return replace(problem, spatial=(n,), out=(out,), window=window)


def _pad(x: Array, pads: list[tuple[int, int, int]]) -> Array:
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


def _rows(x: Array, problem: Problem) -> Array:
    """`(batch, *sizes, c)` as `(batch, n, c)`."""
    missing = [(0, n - size, 0) for n, size in zip(_lengths(problem), x.shape[2:-1], strict=True)]
    x = _pad(x, [(0, 0, 0), (0, 0, 0), *missing, (0, 0, 0)])
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _image(x: Array, problem: Problem, sizes: tuple[int, ...]) -> Array:
    """Back from that."""
    x = x.reshape(x.shape[0], sizes[0], *_lengths(problem), x.shape[-1])
    return x[(slice(None), *(slice(size) for size in sizes))]


def _taps(kernel: Array, problem: Problem) -> Array:
    """The kernel along the sequence, zeros between its rows."""
    extents = problem.window.extent
    behind = (0, *(n - e for n, e in zip(_lengths(problem), extents[1:], strict=True)))
    pads = [(0, more, d - 1) for more, d in zip(behind, problem.dilation, strict=True)]
    flat = _pad(kernel, [*pads, (0, 0, 0), (0, 0, 0)]).reshape(-1, *kernel.shape[-2:])
    return flat[: _unrolled(problem).taps]


def _kernel(taps: Array, problem: Problem) -> Array:
    """Back from that."""
    lengths, extents = _lengths(problem), problem.window.extent
    missing = extents[0] * math.prod(lengths) - taps.shape[0]
    taps = _pad(taps, [(0, missing, 0), (0, 0, 0), (0, 0, 0)])
    taps = taps.reshape(extents[0], *lengths, *taps.shape[1:])
    return taps[tuple(slice(0, e, d) for e, d in zip(extents, problem.dilation, strict=True))]
