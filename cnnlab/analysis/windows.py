"""Sliding windows by the letter of chapter B: eqs. 10.7 to 10.9, and windows counted one by one.

Nothing here uses `cnnlab.ops`: these are what its layers are compared with.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def printed_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """`floor((W_in - K + 2 P) / S) + 1`, as B eq. 10.7 is printed; it may be 0 or less."""
    return math.floor((size - kernel + 2 * padding) / stride) + 1


def formula(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int = 1) -> int:
    """B eq. 10.7 for uneven padding and holes, and 0 where the window does not fit:

    `max(0, floor((W_in + low + high - (K - 1) D - 1) / S) + 1)`.
    """
    room = size + sum(pads) - (kernel - 1) * dilation - 1
    return max(0, room // stride + 1)


def counted(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int = 1) -> int:
    """How many windows there are: each is looked at, and counted if its last tap is inside."""
    length = size + sum(pads)
    windows = start = 0
    while all(start + tap * dilation < length for tap in range(kernel)):
        windows, start = windows + 1, start + stride
    return windows


def plain_convolution(
    x: Float[np.ndarray, "h w c"],
    kernel: Float[np.ndarray, "kh kw c c_out"],
    stride: int,
    padding: int,
) -> Float[np.ndarray, "h_out w_out c_out"]:
    """B eq. 10.8 as a loop over all its indices, which count from 1: a sum over `c, k, l` of
    `X'[S (i - 1) + k, S (j - 1) + l, c] K[k, l, c, m]`, with `X'` the padded input."""
    padded = np.zeros((x.shape[0] + 2 * padding, x.shape[1] + 2 * padding, x.shape[2]))
    padded[padding : padding + x.shape[0], padding : padding + x.shape[1]] = x
    high, wide, channels, outputs = kernel.shape
    out = [printed_size(n, k, stride, padding) for n, k in zip(x.shape, (high, wide), strict=False)]
    z = np.zeros((*out, outputs))
    counts = (*out, outputs, channels, high, wide)
    for i, j, m, c, k, l in itertools.product(*(range(1, n + 1) for n in counts)):  # noqa: E741
        row, column = stride * (i - 1) + k, stride * (j - 1) + l
        weight = kernel[k - 1, l - 1, c - 1, m - 1]
        z[i - 1, j - 1, m - 1] += padded[row - 1, column - 1, c - 1] * weight
    return z


def plain_max_pool(
    z: Float[np.ndarray, "h w"], window: int, stride: int
) -> Float[np.ndarray, "h_out w_out"]:
    """B eq. 10.9, loops over windows: the largest `Z[S (i - 1) + 1 + k, S (j - 1) + 1 + l]` over
    `0 <= k, l < K`."""
    y = np.zeros([printed_size(n, window, stride, 0) for n in z.shape])
    for i, j in itertools.product(*(range(1, n + 1) for n in y.shape)):
        row, column = stride * (i - 1) + 1, stride * (j - 1) + 1
        offsets = itertools.product(range(window), repeat=2)
        y[i - 1, j - 1] = max(z[row + a - 1, column + b - 1] for a, b in offsets)
    return y


def keeping_sizes(kernel: int, sizes: Sequence[int], most: int = 32) -> list[int]:
    """The symmetric paddings `P` with which B eq. 10.7 keeps every one of `sizes` at stride 1."""
    return [p for p in range(most + 1) if all(printed_size(n, kernel, 1, p) == n for n in sizes)]
