"""Hand-crafted kernels (A 3.5, B 10.1.2), their activation maps (A 3.6), and test images."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cnnlab import ops

RIDGE = ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))  # A 3.5
VERTICAL = ((1, 0, -1), (1, 0, -1), (1, 0, -1))  # B eq. 10.2
HORIZONTAL = ((1, 1, 1), (0, 0, 0), (-1, -1, -1))  # B eq. 10.3
GREY = {"ridge": RIDGE, "vertical": VERTICAL, "horizontal": HORIZONTAL}


def grey(kernel: tuple[tuple[int, ...], ...]) -> Float[Array, "h w 1 1"]:
    """A kernel of one channel, as `ops.conv` takes it."""
    return jnp.asarray(kernel, jnp.float32)[..., None, None]


def red(kernel: tuple[tuple[int, ...], ...]) -> Float[Array, "h w 3 1"]:
    """`kernel` for the red channel, zeros for green and blue (B eq. 10.4)."""
    return grey(kernel) * jnp.array([1.0, 0.0, 0.0])[:, None]


def activation_map(
    image: Float[Array, "h w c"], kernel: Float[Array, "kh kw c 1"], *, flip: bool = False
) -> Float[np.ndarray, "h_out w_out"]:
    """`Z = X * K` of B eq. 10.1 at all valid positions; exact for small integers.

    **Arguments:** `flip`: reverse the kernel, the convolution of signal processing (A 3.5).
    """
    return np.asarray(ops.conv(image, kernel, padding="VALID", flip=flip, algorithm="lax"))[..., 0]


def local_range(image: Float[Array, "h w c"], size: int = 3) -> Float[np.ndarray, "h_out w_out"]:
    """Largest less smallest value of every `size` x `size` window, the largest of the channels':
    0 where a window is flat."""
    highest = ops.max_pool(image, (size, size), 1)
    lowest = -ops.max_pool(-image, (size, size), 1)
    return np.asarray((highest - lowest).max(-1))


def edge(
    angle: float, size: int = 9, bright: float = 1.0, dark: float = 0.0
) -> Float[np.ndarray, "n n"]:
    """A straight edge through the middle, `bright` on the side that the angle points to.

    **Arguments:** `angle`: degrees; 0 points left, 90 up. A pixel that the edge passes through the
    middle of is half way between.
    """
    x, y = _coordinates(size)
    side = -math.cos(math.radians(angle)) * x - math.sin(math.radians(angle)) * y
    return dark + (bright - dark) * np.clip(side + 0.5, 0.0, 1.0)


def line(angle: float, size: int = 9) -> Float[np.ndarray, "n n"]:
    """A bright line of width 1 through the middle of a dark image: 0 degrees is horizontal, 90
    vertical, 45 and 135 the diagonals."""
    x, y = _coordinates(size)
    distance = np.abs(math.sin(math.radians(angle)) * x + math.cos(math.radians(angle)) * y)
    return (distance < 0.5).astype(float)


def ramp(down: float, right: float, size: int = 9) -> Float[np.ndarray, "n n"]:
    """Brightness that grows by `down` a row and by `right` a column: a constant gradient."""
    x, y = _coordinates(size)
    return down * y + right * x


def _coordinates(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the pixels' middles, from the image's: rightwards and downwards."""
    middle = (size - 1) / 2
    y, x = np.mgrid[:size, :size] - middle
    return x, y


def offset(m: int, k: int) -> int:
    """`t(m) = m - k - 1` of A 3.5.

    **Raises:** `ValueError` for an `m` that it is not defined for: outside `1 ... 2k + 1`.
    """
    if not 1 <= m <= 2 * k + 1:
        raise ValueError(f"m: expected 1 to {2 * k + 1}, got {m}")
    return m - k - 1


def indexed_sum(
    x: Float[np.ndarray, "h w c"],
    weights: Float[np.ndarray, "s s c_out c"],
    i: int,
    j: int,
    *,
    printed: bool,
) -> Float[np.ndarray, " c_out"]:
    """The sum of A 3.5 at one position, `i` and `j` counted from 1, zeros around `x`.

    **Arguments:** `printed`: read `X[i' + t(i), j' + t(j)]`, as the chapter prints it; else
    `X[i + t(i'), j + t(j')]`.

    **Raises:** `ValueError` where `t` is not defined.
    """
    size = weights.shape[0]
    k = size // 2
    total = np.zeros(weights.shape[2])
    for i2 in range(1, size + 1):
        for j2 in range(1, size + 1):
            if printed:
                row, column = i2 + offset(i, k), j2 + offset(j, k)
            else:
                row, column = i + offset(i2, k), j + offset(j2, k)
            if 1 <= row <= x.shape[0] and 1 <= column <= x.shape[1]:
                total += weights[i2 - 1, j2 - 1] @ x[row - 1, column - 1]
    return total
