"""A sum over the kernel's positions of shifted products: B eq. 10.8 with its sums exchanged.

`y = sum_t shift_t(x) K_t`: nothing is copied, each tap is one pass over the input. Depthwise the
products are elementwise (A 5.2) and XLA makes one loop of all of them.
"""

import functools
import math
from dataclasses import replace

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from cnnlab.ops.algorithms import adjoint
from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm, on_the_cpu
from cnnlab.ops.algorithms.slices import pad_input, tap_slices
from cnnlab.ops.algorithms.tiles import by_tiles
from cnnlab.ops.precision import accumulation_dtype, last_axes
from cnnlab.ops.problem import Pass, Problem

MAX_TAPS = 256
# Positions of the first spatial axis summed in one go by the depthwise kernel gradient.
_ROWS = 16


def _per_group(a: Array, problem: Problem) -> Array:
    return a.reshape(*a.shape[:-1], problem.groups, -1)


def _forward(x: Array, kernel: Array, problem: Problem) -> Array:
    wide = accumulation_dtype(problem.dtype)
    groups = problem.groups
    weights = kernel.reshape(problem.taps, -1, groups, problem.out_channels // groups)

    slices = tap_slices(pad_input(x, problem), problem)
    terms = (_times(s, w, wide) for s, w in zip(slices, weights, strict=True))
    return functools.reduce(jnp.add, terms).reshape(problem.y_shape).astype(problem.dtype)


def _bytes_each(problem: Problem) -> int:
    """Of one example's input and output."""
    entries = math.prod(problem.x_shape[1:]) + math.prod(problem.y_shape[1:])
    return entries * problem.dtype.itemsize


def _times(x: Array, weight: Array, wide: jnp.dtype) -> Array:
    """One tap: `(*, c_in)` times `(c_in / g, g, c_out / g)`."""
    group_in, groups, group_out = weight.shape
    if group_in == group_out == 1:
        return x.astype(wide) * last_axes(weight.reshape(groups), x.ndim).astype(wide)
    if group_in == 1:
        weight = last_axes(weight.reshape(groups, group_out), x.ndim + 1)
        return x.astype(wide)[..., None] * weight.astype(wide)
    if groups == 1:
        return jnp.matmul(x, weight[:, 0], preferred_element_type=wide)
    x = x.reshape(*x.shape[:-1], groups, group_in)
    return jnp.einsum("...gi,igo->...go", x, weight, preferred_element_type=wide)


def _kernel_gradient(x: Array, dy: Array, problem: Problem) -> Array:
    if problem.in_channels == problem.out_channels == problem.groups:
        return _depthwise_kernel_gradient(x, dy, problem)
    wide = accumulation_dtype(problem.dtype)
    dy = _per_group(dy, problem)
    each = [
        jnp.einsum("...gi,...go->igo", _per_group(s, problem), dy, preferred_element_type=wide)
        for s in tap_slices(pad_input(x, problem), problem)
    ]
    return jnp.stack(each).reshape(problem.kernel_shape).astype(problem.dtype)


def _depthwise_kernel_gradient(x: Array, dy: Array, problem: Problem) -> Array:
    """The products of a few rows at a time are added up position by position; only the last sum
    is over positions of one array, which the CPU is slow at."""
    wide = accumulation_dtype(problem.dtype)
    rows = min(_ROWS, problem.out[0])
    blocks = -(-problem.out[0] // rows)
    dy, x = _whole_blocks(dy, x, rows * blocks, problem)
    block = replace(problem, batch=1, out=(rows, *problem.out[1:]))
    reach = (rows - 1) * problem.stride[0] + problem.window.extent[0]

    def body(i: Array, total: list[Array]) -> list[Array]:
        n, b = i // blocks, i % blocks
        at = lambda row: (n, row, *(0,) * problem.rank)
        some = lax.dynamic_slice(
            x, at(b * rows * problem.stride[0]), (1, reach, *x.shape[2:])
        ).astype(wide)
        upper = lax.dynamic_slice(dy, at(b * rows), (1, rows, *dy.shape[2:])).astype(wide)
        products = [s * upper for s in tap_slices(some, block)]
        added = [functools.reduce(jnp.add, [p[0, r] for r in range(rows)]) for p in products]
        return [t + a for t, a in zip(total, added, strict=True)]

    # One array a tap: XLA does not vectorise a loop that writes all of them to one.
    zeros = [jnp.zeros((*problem.out[1:], problem.in_channels), wide) for _ in range(problem.taps)]
    total = lax.fori_loop(0, problem.batch * blocks, body, zeros)
    total = jnp.stack([jnp.sum(t, axis=tuple(range(t.ndim - 1))) for t in total])
    return total.reshape(problem.kernel_shape).astype(problem.dtype)


def _whole_blocks(dy: Array, x: Array, rows: int, problem: Problem) -> tuple[Array, Array]:
    """Zeros after `dy` up to a whole number of blocks, and after `x` for what they read."""
    zero = jnp.zeros((), dy.dtype)
    still = ((0, 0, 0),) * problem.rank
    dy = lax.pad(dy, zero, ((0, 0, 0), (0, rows - problem.out[0], 0), *still))
    extent = problem.window.extent[0]
    # Without rows that no window reads: the zeros would meet them.
    read = (problem.out[0] - 1) * problem.stride[0] + extent
    padded = pad_input(x, problem)[:, :read]
    missing = (rows - 1) * problem.stride[0] + extent - padded.shape[1]
    return dy, lax.pad(padded, zero, ((0, 0, 0), (0, max(missing, 0), 0), *still))


def _refusal(problem: Problem) -> str | None:
    if problem.taps > MAX_TAPS:
        return f"its kernel has {problem.taps} taps, of {MAX_TAPS} allowed"
    return None


def _nanoseconds(problem: Problem, which: Pass) -> float:
    """Depthwise, where there is no matrix product that it would be slower than."""
    rate = 1.8 if which == "kernel_gradient" else 5.0
    return problem.multiply_adds / rate if problem.depthwise else math.inf


TAPS = Algorithm(
    name="taps",
    source="B eq. 10.8, the sum over taps outside; A 5.2 for depthwise",
    refusal=_refusal,
    forward=by_tiles(_forward, _bytes_each),
    errors=OWN_SUM,
    multiply_adds=lambda problem: problem.multiply_adds,
    # The padded input, and one tap's products where they are matrix products.
    extra_memory=lambda problem: (
        problem.dtype.itemsize
        * (
            math.prod(problem.x_shape)
            + (problem.groups != problem.in_channels) * math.prod(problem.y_shape)
        )
    ),
    input_gradient=by_tiles(adjoint.by_phases(_forward), _bytes_each),
    kernel_gradient=_kernel_gradient,
    nanoseconds=on_the_cpu(_nanoseconds),
    direct=lambda problem, which, platform: True,
)
