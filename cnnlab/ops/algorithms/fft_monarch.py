"""Fourier transforms as products of matrices (Monarch decomposition; Fu et al. 2023,
arXiv:2311.05908, 2.2): more products than a fast transform, of the kind that accelerators are made
for.

With `N = N1 N2`, entry `n = N2 n1 + n2` and frequency `k = k1 + N1 k2`, as `w^N = 1`,

    X_k = sum_n2 w^(n2 k1) [sum_n1 x_n w^(N2 n1 k1)] w^(N1 n2 k2) with w = exp(-2 pi i / N):

a matrix of `N1 x N1`, factors, and a matrix of `N2 x N2`, which may be decomposed again. The
product of two spectra needs no order, so frequencies stay where they come out. Of real arrays the
rows `N1 - k1` are the conjugates of rows `k1`, so the first half of them is enough.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from cnnlab.ops.algorithms import fft
from cnnlab.ops.algorithms.base import Algorithm
from cnnlab.ops.algorithms.causal import causal
from cnnlab.ops.fft import filtered, spectral, transform_lengths
from cnnlab.ops.precision import last_axes
from cnnlab.ops.problem import Pass, Problem

_TWO = 1 << 12  # entries up to which two factors are enough


def factors(length: int) -> tuple[int, ...]:
    """Of about one size, whose product is at least `length`; all but the last a power of two."""
    count = 2 if length <= _TWO else 3
    first = 1 << max(1, round(math.log2(length) / count))
    return (*[first] * (count - 1), -(-length // first ** (count - 1)))


def _turns(rows: int, columns: int, n: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Real and imaginary part of `exp(-2 pi i r c / n)` at `[r, c]`."""
    angle = 2 * math.pi / n * (np.outer(np.arange(rows), np.arange(columns)) % n)
    return np.cos(angle).astype(dtype), -np.sin(angle).astype(dtype)


_product = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)


def _lengthened(a: Array, n: int) -> Array:
    """With zeros behind, up to `n` entries."""
    pads = [(0, 0, 0)] * (a.ndim - 1) + [(0, n - a.shape[-1], 0)]
    return lax.pad(a, jnp.zeros((), a.dtype), pads)


def _turned(z: Array, n: int, sign: int) -> Array:
    """`z` of axes `k1`, `n2` times `w^(k1 n2)`, or its conjugate."""
    real, imaginary = _turns(z.shape[-2], z.shape[-1], n, z.real.dtype)
    return z * last_axes(jnp.asarray(real + sign * 1j * imaginary), z.ndim)


def _mixed(z: Complex[Array, "*dims n"], sizes: tuple[int, ...], sign: int) -> Array:
    """The transform of the last axis, of the product of some sizes, in no order; or, with a sign of
    -1, of what that gives the inverse times its length. A complex product is one real one."""
    n, (size, *rest) = math.prod(sizes), sizes
    z = z.reshape(*z.shape[:-1], size, n // size)
    if sign < 0 and rest:
        z = _turned(_mixed(z, tuple(rest), sign), n, sign)
    real, imaginary = _turns(size, size, size, z.real.dtype)
    matrix = np.block([[real, sign * imaginary], [-sign * imaginary, real]])
    y = _product("...nm,nk->...km", jnp.concatenate([z.real, z.imag], -2), matrix)
    z = lax.complex(y[..., :size, :], y[..., size:, :])
    if sign > 0 and rest:
        z = _mixed(_turned(z, n, sign), tuple(rest), sign)
    return z.reshape(*z.shape[:-2], n)


def forward(x: Float[Array, "*dims n"], sizes: tuple[int, ...]) -> Complex[Array, "*dims k m"]:
    """The first half of the rows `k1` of a spectrum, of `x` with zeros behind it."""
    size, rest = sizes[0], sizes[1:]
    half, inner = size // 2 + 1, math.prod(rest)
    rows = -(-x.shape[-1] // inner)  # the others are zeros
    x = _lengthened(x, rows * inner)
    matrix = np.concatenate(_turns(rows, half, size, x.dtype), 1)
    y = _product("...nm,nk->...km", x.reshape(*x.shape[:-1], rows, inner), matrix)
    z = lax.complex(y[..., :half, :], y[..., half:, :])
    return _mixed(_turned(z, size * inner, 1), rest, 1)


def backward(z: Complex[Array, "*dims k m"], sizes: tuple[int, ...]) -> Float[Array, "*dims n"]:
    """The real array of these rows of its spectrum."""
    size, rest = sizes[0], sizes[1:]
    half, inner = size // 2 + 1, math.prod(rest)
    z = _turned(_mixed(z, rest, -1), size * inner, -1)
    # Rows but 0 and the middle one stand for their conjugates, too.
    twice = np.where(np.arange(half) * 2 % size == 0, 1, 2)[:, None]
    real, imaginary = (twice / (size * inner) * m for m in _turns(half, size, size, z.real.dtype))
    matrix = np.concatenate([real, imaginary]).astype(z.real.dtype)
    y = _product("...km,kn->...nm", jnp.concatenate([z.real, z.imag], -2), matrix)
    return y.reshape(*y.shape[:-2], size * inner)


def convolved(x: Array, kernel: Array, lengths: tuple[int, ...], problem: Problem) -> Array:
    """As `ops.fft.filtered`; of a period that may be longer, the first entries."""
    others = [factors(n) for n in lengths]
    last = None if jnp.issubdtype(x.dtype, jnp.complexfloating) else others.pop()

    def there(a: Array) -> Array:
        a = a if last is None else forward(a, last)
        for sizes in others:  # each axis comes to the end when it is transformed
            a = _mixed(_lengthened(jnp.moveaxis(a, 3, -1), math.prod(sizes)), sizes, 1)
        return a

    def back(a: Array) -> Array:
        for sizes in reversed(others):
            a = jnp.moveaxis(_mixed(a, sizes, -1) / math.prod(sizes), -1, 3)
        return a if last is None else backward(a, last)

    y = filtered(x, kernel, lengths, problem, (there, back))
    return y[(..., *(slice(0, n) for n in lengths))]


def transform_cost(lengths: tuple[int, ...]) -> int:
    """Multiply-adds of one transform: of real matrices in the first step, then complex ones."""
    *others, (first, *rest) = (factors(n) for n in lengths)
    steps = 2 * first + 4 * sum(rest) + 4 * sum(map(sum, others))
    return (first // 2 + 1) * math.prod(rest) * math.prod(map(math.prod, others)) * steps


def cost(problem: Problem) -> int:
    """Of one transform of the whole and its products."""
    lengths = transform_lengths(problem)
    x, kernel, y = fft.spectra(problem, 1)
    products = y * (problem.in_channels // problem.groups) * 3 * (math.prod(lengths) // 2 + 1)
    return (x + kernel + y) * transform_cost(lengths) + products


def _nanoseconds(problem: Problem, which: Pass, platform: str) -> float:
    """Not on the CPU. Elsewhere not measured: a tenth of the rate that XLA's sum is given, and four
    times as much for the pieces of a causal convolution."""
    if platform == "cpu":
        return math.inf
    pieces = causal(problem) and which != "kernel_gradient"
    return cost(problem) * (4 if pieces else 1) / 100


FFT_MONARCH = Algorithm(
    name="fft_monarch",
    source="A 6.3; arXiv 2311.05908",
    refusal=fft.refusal,
    **fft.exact(functools.partial(spectral, convolved=convolved), convolved),
    errors=fft.FFT.errors,
    multiply_adds=cost,
    extra_memory=fft.FFT.extra_memory,
    nanoseconds=_nanoseconds,
    rounding=fft.FFT.rounding,
    domain=fft.FFT.domain,
    fourier=True,
)
