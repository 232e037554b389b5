"""The transpose in `x` of a convolution, as convolutions of stride 1.

With stride `s` the inputs fall into `s` phases per axis, and those of one phase are a convolution
of `dy` with every `s`-th tap of the kernel, turned around (A 3.3: the transposed matrix). So an
algorithm for the forward pass is one for the input gradient, and never multiplies by the zeros
that a dilated `dy` would hold. Only where stride and dilation meet is `dy` dilated instead.
"""

import itertools
from dataclasses import replace

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms.base import Map
from cnnlab.ops.problem import Problem
from cnnlab.ops.window import Window


def transpose_kernel(kernel: Array, groups: int) -> Array:
    """Turned around in space, channels swapped: `(*k, c_out / g, c_in)`."""
    *window, group_in, out_channels = kernel.shape
    kernel = jnp.flip(kernel, range(len(window)))
    kernel = kernel.reshape(*window, group_in, groups, out_channels // groups)
    kernel = jnp.swapaxes(kernel, -1, -3)
    return kernel.reshape(*window, out_channels // groups, groups * group_in)


def phases(problem: Problem) -> list[tuple[tuple[int, ...], tuple[slice, ...], Problem]]:
    """`(offset, taps, convolution)` of each phase: the inputs `offset + j * stride` that the
    taps `kernel[taps]` reach. The convolution's padding may be negative (rows of `dy` unused)."""
    axes = [_axis_phases(problem, axis) for axis in range(problem.rank)]
    found = []
    for parts in itertools.product(*axes):
        offset, taps, kernel_size, padding, out = zip(*parts, strict=True)
        found.append((offset, taps, _phase_problem(problem, kernel_size, padding, out)))
    return found


def _axis_phases(problem: Problem, axis: int) -> list[tuple]:
    n, out = problem.spatial[axis], problem.out[axis]
    k, (low, _) = problem.kernel_size[axis], problem.padding[axis]
    s, d = problem.stride[axis], problem.dilation[axis]
    found = []
    for offset in range(min(s, n)):
        # Input `offset + j * s` is padded position `(first + j) * s + tap`; tap `tap + u * s`
        # (or `u * d` without stride) of output `first + j - u * d` reads it.
        first, tap = divmod(offset + low, s)
        size, count = len(range(tap, k, s)), len(range(offset, n, s))
        padding = ((size - 1) * d - first, first + count - out)
        found.append((offset, slice(tap, None, s), size, padding, count))
    return found


def _phase_problem(problem: Problem, kernel_size: tuple, padding: tuple, out: tuple) -> Problem:
    return replace(
        problem,
        spatial=problem.out,
        in_channels=problem.out_channels,
        out_channels=problem.in_channels,
        window=Window(kernel_size, (1,) * problem.rank, padding, problem.dilation),
        out=out,
    )


def by_phases(forward: Map) -> Map:
    """An input gradient made of `forward`."""

    def input_gradient(dy: Array, kernel: Array, problem: Problem) -> Array:
        if any(s > 1 and d > 1 for s, d in zip(problem.stride, problem.dilation, strict=True)):
            dy, problem = without_stride(dy, problem)
        parts = {}
        for offset, taps, part in phases(problem):
            if 0 in part.kernel_size:
                parts[offset] = jnp.zeros(part.y_shape, problem.dtype)
                continue
            cropped, part = _crop(dy, part)
            turned = transpose_kernel(kernel[taps], problem.groups)
            parts[offset] = forward(cropped, turned, part)
        return _interleave(parts, problem)

    return input_gradient


def without_stride(dy: Array, problem: Problem) -> tuple[Array, Problem]:
    """The same transpose with stride 1: zeros between the entries of `dy`."""
    between = tuple((0, 0, s - 1) for s in problem.stride)
    dy = lax.pad(dy, jnp.zeros((), dy.dtype), ((0, 0, 0), *between, (0, 0, 0)))
    window = replace(problem.window, stride=(1,) * problem.rank)
    return dy, replace(problem, window=window, out=dy.shape[1:-1])


def _crop(dy: Array, part: Problem) -> tuple[Array, Problem]:
    """Negative padding as a smaller `dy`."""
    sizes = zip(part.padding, part.spatial, strict=True)
    kept = tuple(slice(max(-low, 0), n - max(-high, 0)) for (low, high), n in sizes)
    dy = dy[(slice(None), *kept)]
    padding = tuple((max(low, 0), max(high, 0)) for low, high in part.padding)
    return dy, replace(part, spatial=dy.shape[1:-1], window=replace(part.window, padding=padding))


def _interleave(parts: dict[tuple[int, ...], Array], problem: Problem) -> Array:
    """`x[offset + j * stride] = parts[offset][j]`."""
    stride = tuple(min(s, n) for s, n in zip(problem.stride, problem.spatial, strict=True))
    if len(parts) == 1:
        return next(iter(parts.values()))
    counts = [-(-n // s) for n, s in zip(problem.spatial, stride, strict=True)]
    zero = jnp.zeros((), problem.dtype)
    full = {}
    for offset, part in parts.items():
        missing = [(0, c - n, 0) for c, n in zip(counts, part.shape[1:-1], strict=True)]
        full[offset] = lax.pad(part, zero, ((0, 0, 0), *missing, (0, 0, 0)))
    for axis in reversed(range(problem.rank)):
        outer = itertools.product(*(range(s) for s in stride[:axis]))
        steps = range(stride[axis])
        # Later axes are joined already, so this axis is at its place in every part.
        full = {o: jnp.stack([full[(*o, i)] for i in steps], axis + 2) for o in outer}
        full = {o: _join(x, axis + 1) for o, x in full.items()}
    x = full[()]
    return x[(slice(None), *(slice(0, n) for n in problem.spatial))]


def _join(x: Array, axis: int) -> Array:
    """Axes `axis` and `axis + 1` as one."""
    return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
