"""The convolution and its gradients in NumPy, in float64: what the algorithms are compared with.

A loop over the taps, each of which reads a strided view of the padded input; of `cnnlab.ops` only
the problem's numbers are used.
"""

import itertools

import numpy as np
from jax.typing import ArrayLike

from cnnlab.ops import Problem


def convolution(
    x: ArrayLike, kernel: ArrayLike, dy: ArrayLike, problem: Problem
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`y`, and the gradients of `sum(y * dy)` in `x` and in `kernel`: float64, or complex128."""
    x, kernel, dy = map(_wide, (x, kernel, dy))
    groups = problem.groups
    padded = np.pad(x, ((0, 0), *problem.padding, (0, 0)))
    padded = padded.reshape(*padded.shape[:-1], groups, -1)
    weights = kernel.reshape(problem.taps, -1, groups, problem.out_channels // groups)
    dy = dy.reshape(*problem.y_shape[:-1], groups, -1)
    y, dpadded = np.zeros_like(dy), np.zeros_like(padded)
    dweights = np.zeros_like(weights)
    for tap, position in enumerate(itertools.product(*map(range, problem.kernel_size))):
        seen = (slice(None), *_seen(position, problem))
        y += np.einsum("...gi,igo->...go", padded[seen], weights[tap])
        dpadded[seen] += np.einsum("...go,igo->...gi", dy, weights[tap])
        dweights[tap] = np.einsum("ngi,ngo->igo", _rows(padded[seen]), _rows(dy))
    dx = dpadded.reshape(*dpadded.shape[:-2], -1)
    inside = [
        slice(low, low + n) for (low, _), n in zip(problem.padding, problem.spatial, strict=True)
    ]
    dx = dx[(slice(None), *inside)]
    return y.reshape(problem.y_shape), dx, dweights.reshape(problem.kernel_shape)


def _wide(a: ArrayLike) -> np.ndarray:
    a = np.asarray(a)
    return a.astype(np.complex128 if np.iscomplexobj(a) else np.float64)


def _seen(position: tuple[int, ...], problem: Problem) -> list[slice]:
    """What one tap reads of the padded input: one entry for every output."""
    starts = [t * d for t, d in zip(position, problem.dilation, strict=True)]
    zipped = zip(starts, problem.out, problem.stride, strict=True)
    return [slice(start, start + (n - 1) * s + 1, s) for start, n, s in zipped]


def _rows(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1, *a.shape[-2:])


def relative_error(value: ArrayLike, expected: np.ndarray) -> float:
    """Largest difference over the largest expected entry; infinite where it is not a number.

    Where all that is expected is zero (windows that read only padding) it is the difference.
    """
    difference = float(np.max(np.abs(_wide(value) - expected), initial=0))
    largest = float(np.max(np.abs(expected), initial=0))
    return difference / (largest or 1.0) if np.isfinite(difference) else float("inf")
