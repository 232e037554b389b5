"""Hand-crafted kernels (A 3.5, B 10.1.2), and their activation maps (A 3.6) of photographs, edges,
lines and ramps; and A 3.5's sum, by its indices. Images are `(h, w)`, in colour `(h, w, 3)`."""

import base64
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.signal import convolve2d
from sklearn.datasets import load_sample_image

from cnnlab import ops

VERTICAL = ((1, 0, -1), (1, 0, -1), (1, 0, -1))  # B eq. 10.2
KERNELS = {
    "ridge": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),  # A 3.5
    "vertical": VERTICAL,
    "horizontal": ((1, 1, 1), (0, 0, 0), (-1, -1, -1)),  # B eq. 10.3
    "red": VERTICAL,
}
EDGE = 3.0  # the largest output of those for edges, at contrast 1: the sum of the positive weights
LEVELS = 255
# Bounds of a window's range, in grey levels, between which responses are averaged.
BINS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
# Red, green and blue, by the names that CSS gives them.
COLOURS = {
    "black": (0, 0, 0), "red": (1, 0, 0), "lime": (0, 1, 0), "blue": (0, 0, 1),
    "yellow": (1, 1, 0), "magenta": (1, 0, 1), "cyan": (0, 1, 1), "white": (1, 1, 1),
}  # fmt: skip
ANGLES = tuple(range(0, 360, 15))


def respond(
    kernel: str, image: Float[np.ndarray, "h w ..."], *, flip: bool = False
) -> Float[np.ndarray, "h_out w_out"]:
    """`Z = X * K` of B eq. 10.1 at all valid positions; exact for small integers. Only the red
    kernel sees colours, and has zeros for green and blue (B eq. 10.4).

    **Arguments:** `flip`: reverse the kernel, the convolution of signal processing (A 3.5).
    """
    weights = jnp.asarray(KERNELS[kernel], jnp.float32)[..., None, None]
    if kernel == "red":
        weights = weights * jnp.array([1.0, 0.0, 0.0])[:, None]
    x = jnp.asarray(image, jnp.float32).reshape(*image.shape[:2], -1)
    return np.asarray(ops.conv(x, weights, padding="VALID", flip=flip, algorithm="lax"))[..., 0]


@functools.cache
def photograph(name: str) -> np.ndarray:
    """One of scikit-learn's, in colour, whole numbers 0 to 255."""
    return load_sample_image(name).astype(np.float32)


def seen(kernel: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a kernel is given of an image in colour, all of it or its shades of grey; and what it
    reads of that, one number a pixel."""
    if kernel == "red":
        return image, image[..., 0]
    return (np.round(image.mean(-1)),) * 2


def windows(photo: str, kernel: str) -> dict[str, Any]:
    """Responses by the range of the window (largest less smallest value): their number, and the
    mean of their magnitude as a share of the largest possible."""
    given, read = seen(kernel, photograph(photo))
    size, spread = np.abs(respond(kernel, given)), local_range(read)
    largest = np.maximum(KERNELS[kernel], 0).sum()  # at contrast 1
    inside = [(spread >= low) & (spread < high) for low, high in itertools.pairwise(BINS)]
    share = size / np.float32(largest * LEVELS)
    return {
        "windows": size.size, "flat": int((spread == 0).sum()),
        "flat_nonzero": int((size[spread == 0] != 0).sum()),
        "beyond": int((size > largest * spread).sum()),
        "counts": [int(i.sum()) for i in inside],
        "means": [float(share[i].mean()) if i.any() else None for i in inside],
    }  # fmt: skip


def local_range(image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h_out w_out"]:
    """Largest less smallest value of every 3x3 window: 0 where a window is flat."""
    x = jnp.asarray(image, jnp.float32)[..., None]
    lowest = -ops.max_pool(-x, (3, 3), 1)
    return np.asarray(ops.max_pool(x, (3, 3), 1) - lowest)[..., 0]


def explained(photo: str, kernel: str, tile: int) -> Iterator[dict[str, float]]:
    """Of every tile, the share of the response's variance that the derivative along the columns
    (horizontal) and that along the rows (vertical) explain, each by itself: squared correlations.

    Derivatives are central differences at the same positions.
    """
    given, image = seen(kernel, photograph(photo))
    z = respond(kernel, given)
    across = (image[1:-1, 2:] - image[1:-1, :-2]) / 2
    down = (image[2:, 1:-1] - image[:-2, 1:-1]) / 2
    for i, j in itertools.product(*(range(0, n - tile + 1, tile) for n in z.shape)):
        part = (slice(i, i + tile), slice(j, j + tile))
        a, b, c = (v[part].ravel().astype(float) for v in (z, across, down))
        if min(a.std(), b.std(), c.std()) > 0:
            share = lambda derivative, a=a: float(np.corrcoef(a, derivative)[0, 1] ** 2)
            yield {"horizontal": share(b), "vertical": share(c)}


def repainted(photo: str, rng: np.random.Generator) -> dict[str, int]:
    """Outputs of the red kernel that change with random green and blue."""
    image = photograph(photo)
    other = image.copy()
    other[..., 1:] = rng.integers(0, LEVELS + 1, other[..., 1:].shape)
    differ = respond("red", other) != respond("red", image)
    return {"changed": int(differ.sum()), "positions": differ.size}


def reversed_kernel(photo: str, kernel: str) -> dict[str, int]:
    """The layer with a reversed kernel against SciPy's convolution, at all positions."""
    _, grey = seen(kernel, photograph(photo))
    differ = respond(kernel, grey, flip=True) != convolve2d(grey, KERNELS[kernel], "valid")
    return {"differ": int(differ.sum()), "compared": differ.size}


def picture(photo: str, crop: Sequence[int]) -> list[dict[str, Any]]:
    """The middle of a photograph and its activation maps."""
    image = photograph(photo)
    starts = [max(0, (n - c) // 2) for n, c in zip(image.shape, crop, strict=False)]
    part = image[tuple(slice(s, s + c) for s, c in zip(starts, crop, strict=True))]
    maps = {kernel: respond(kernel, seen(kernel, part)[0]) for kernel in KERNELS}
    return [{"shows": name, **pack(z)} for name, z in {"photograph": part, **maps}.items()]


def pack(array: np.ndarray) -> dict[str, Any]:
    """Whole numbers as a JSON object of two bytes each: `unpack` is its inverse."""
    text = base64.b64encode(array.astype("<i2").tobytes()).decode()
    return {"shape": list(array.shape), "int16": text}


def unpack(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["int16"]), "<i2").reshape(packed["shape"])


def edge(angle: float, size: int = 9) -> Float[np.ndarray, "n n"]:
    """A straight edge through the middle, 1 on the side that the angle points to, 0 on the other.

    **Arguments:** `angle`: degrees; 0 points left, 90 up. A pixel that the edge passes through the
    middle of is half way between.
    """
    x, y = coordinates(size)
    side = -math.cos(math.radians(angle)) * x - math.sin(math.radians(angle)) * y
    return np.clip(side + 0.5, 0.0, 1.0)


def line(angle: float, size: int = 9) -> Float[np.ndarray, "n n"]:
    """A bright line of width 1 through the middle of a dark image: 0 degrees is horizontal, 90
    vertical, 45 and 135 the diagonals."""
    x, y = coordinates(size)
    distance = np.abs(math.sin(math.radians(angle)) * x + math.cos(math.radians(angle)) * y)
    return (distance < 0.5).astype(float)


def coordinates(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the pixels' middles, from the image's: rightwards and downwards."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return x, y


def middle(kernel: str, image: np.ndarray) -> float:
    z = respond(kernel, image)
    return float(z[z.shape[0] // 2, z.shape[1] // 2])


def at_edge(kernel: str, angle: int) -> float:
    """The output in the middle of an edge of contrast 1."""
    return middle(kernel, edge(angle))


def on_ramp(kernel: str, brighter: str) -> float:
    """The output where brightness grows by 1 a pixel, downwards or to the right."""
    x, y = coordinates(9)
    return middle(kernel, y if brighter == "downwards" else x)


def at_line(angle: int) -> dict[str, float]:
    """The ridge kernel's output on a line's pixels, the least, and beside it and at an edge of the
    same contrast, the largest."""
    z, bright = respond("ridge", line(angle)), line(angle)[1:-1, 1:-1]
    strongest = respond("ridge", edge(angle, size=10)).max()
    on, off = z[bright == 1].min(), z[bright == 0].max()
    return {"on": float(on), "off": float(off), "edge": float(strongest)}


def between_colours(left: str, right: str) -> list[dict[str, float]]:
    """The largest output, by magnitude, of the red filter at an edge between two colours."""
    if left == right:
        return []
    row = [COLOURS[left]] * 2 + [COLOURS[right]] * 2
    z = respond("red", np.array([row] * 4, float)).ravel()
    return [{"output": float(z[np.abs(z).argmax()])}]


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
    `X[i + t(i'), j + t(j')]`. Either with `t(m) = m - k - 1` for `m` from 1 to `2k + 1`.

    **Raises:** `KeyError` where `t` is not defined.
    """
    size = len(weights)
    t = {m: m - size // 2 - 1 for m in range(1, size + 1)}
    total = np.zeros(weights.shape[2])
    for i2, j2 in itertools.product(t, t):
        row, column = (i2 + t[i], j2 + t[j]) if printed else (i + t[i2], j + t[j2])
        if 1 <= row <= x.shape[0] and 1 <= column <= x.shape[1]:
            total += weights[i2 - 1, j2 - 1] @ x[row - 1, column - 1]
    return total


def all_sums(rng: np.random.Generator) -> dict[str, int]:
    """A 3.5's sum at all positions of a random image: where it is undefined as it is printed, where
    it is then not the sum with the indices exchanged, and where that is not the layer's."""
    k, channels = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    size = 2 * k + 1
    shape = tuple(int(n) for n in rng.integers(size, size + 6, 2))
    x = rng.integers(-3, 4, (*shape, channels)).astype(float)
    weights = rng.integers(-3, 4, (size, size, 2, channels)).astype(float)
    arrays = (jnp.asarray(a, jnp.float32) for a in (x, np.moveaxis(weights, 2, 3)))
    layer = np.asarray(ops.conv(*arrays, algorithm="lax"))
    found = {"positions": math.prod(shape), "undefined": 0, "defined_differ": 0, "layer_differ": 0}
    for i, j in np.ndindex(*shape):
        value = indexed_sum(x, weights, i + 1, j + 1, printed=False)
        found["layer_differ"] += int((value != layer[i, j]).any())
        try:
            printed = indexed_sum(x, weights, i + 1, j + 1, printed=True)
        except KeyError:
            found["undefined"] += 1
        else:
            found["defined_differ"] += int((printed != value).any())
    return found
