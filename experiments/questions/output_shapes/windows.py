"""Sizes of outputs: by the printed formula, by a general one, counted, and of every layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnlab import nn, ops
from cnnlab.lab import Records

# Kinds of windows: all but those that are "too large" fit into the padded input.
KINDS = ("even padding", "too large", "dilated", "uneven padding")


# Largest spatial size and kernel size, by rank.
LARGEST = {1: (60, 9), 2: (24, 7), 3: (9, 4)}


LAYERS = ("convolution", "locally connected", "unfold", "lax", "max-pool", "avg-pool")


# What is counted of each of them, and how the table heads it; the same of windows themselves.
COUNTS = {
    "given": "geometries", "refused": "refused", "printed": "not as printed",
    "general": "not as generalised",
}  # fmt: skip


WINDOWS = "windows, counted one by one"


Shape = tuple[int, ...]


# Sizes, kernel, stride, padding and dilation, each with one entry a spatial axis.
Geometry = tuple[Shape, Shape, Shape, tuple[Shape, ...], Shape]


def printed_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """`floor((W_in - K + 2 P) / S) + 1`, as B eq. 10.7 is printed; it may be 0 or less."""
    return (size - kernel + 2 * padding) // stride + 1


def general_size(size: int, kernel: int, stride: int, pads: Shape, dilation: int) -> int:
    """B eq. 10.7 for uneven padding and holes, and 0 where the window does not fit:
    `max(0, floor((W_in + low + high - (K - 1) D - 1) / S) + 1)`."""
    room = size + sum(pads) - (kernel - 1) * dilation - 1
    return max(0, room // stride + 1)


def counted_windows(size: int, kernel: int, stride: int, pads: Shape, dilation: int) -> int:
    """How many windows there are: each is looked at, and counted if its last tap is inside."""
    inside = range(size + sum(pads))
    return sum(start + (kernel - 1) * dilation in inside for start in inside[::stride])


def windows_of(x: np.ndarray, size: Shape, stride: int) -> np.ndarray:
    """What the windows of B eqs. 10.8 and 10.9 read of `(h, w, ...)`, as many as eq. 10.7 counts:
    `X[S i + k, S j + l]` with indices from 0, `(h_out, w_out, k_h, k_w, ...)`."""
    rows, columns = (range(printed_size(n, k, stride, 0)) for n, k in zip(x.shape, size))  # noqa: B905
    window = lambda i, j: x[stride * i :, stride * j :][: size[0], : size[1]]
    return np.array([[window(i, j) for j in columns] for i in rows])


def draw(kind: str, rng: np.random.Generator) -> Geometry:
    """A geometry of one of `KINDS`; a window that is "too large" is so along some axis."""
    while True:
        rank = int(rng.integers(1, 4))
        largest, kernel = LARGEST[rank]
        some = lambda low, high, rank=rank: tuple(int(n) for n in rng.integers(low, high + 1, rank))
        pads = tuple((p, p) for p in some(0, 4))
        if kind == "uneven padding":
            pads = tuple(zip(some(0, 4), some(0, 4), strict=True))
        dilation = some(1, 3) if kind == "dilated" else (1,) * rank
        sizes = some(1, 5 if kind == "too large" else largest)
        geometry = (sizes, some(1, kernel), some(1, 4), pads, dilation)
        fits = all(counted_windows(*axis) for axis in zip(*geometry, strict=True))
        if fits == (kind != "too large") and (kind != "dilated" or max(dilation) > 1):
            return geometry


def output_shapes(geometry: Geometry) -> dict[str, Shape | None]:
    """The spatial shape of every layer's output, by tracing alone; None where it refuses. (Pools
    take no dilation, and less padding than a window.)"""
    sizes, *window = geometry
    kernel, stride, pads, dilation = window
    rank, weights, key = len(sizes), jnp.zeros((1, 1, *kernel)), jax.random.key(0)
    options = {"stride": stride, "padding": pads, "dilation": dilation}
    lax_conv = lambda x: lax.conv_general_dilated(x, weights, stride, pads, rhs_dilation=dilation)
    local = lambda x: nn.LocallyConnected(rank, 1, 1, kernel, sizes, *window[1:], key=key)(x)
    layers: dict[str, Callable[[Any], Any]] = {
        "convolution": lambda x: nn.Conv(rank, 1, 1, *window, key=key)(x),
        "locally connected": local,
        "unfold": lambda x: ops.unfold(x, kernel, **options),
        "lax": lambda x: jnp.moveaxis(lax_conv(jnp.moveaxis(x, -1, 1)), 1, -1),  # channels first
    }
    if set(dilation) == {1} and all(max(p) < k for p, k in zip(pads, kernel, strict=True)):
        layers["max-pool"] = lambda x: nn.MaxPool(rank, *window[:3])(x)
        layers["avg-pool"] = lambda x: nn.AvgPool(rank, *window[:3])(x)
    return {name: output_shape(layer, sizes) for name, layer in layers.items()}


def output_shape(layer: Callable[[Any], Any], sizes: Shape) -> Shape | None:
    try:
        y = jax.eval_shape(layer, jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32))
    except ValueError:
        return None
    return tuple(y.shape[1:-1])


def compare(kind: str, number: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """By layer, how many geometries of a kind it was given, how many of them it refused, and for
    how many its shape is not that of the printed or of the general formula. (Of the printed one a
    refusal is a difference, too, and so is an odd sum of the two sides' padding: there is no `P`.)
    """
    rows = Records()
    for geometry in (draw(kind, rng) for _ in range(number)):
        axes = list(zip(*geometry, strict=True))
        counted, general = (tuple(f(*a) for a in axes) for f in (counted_windows, general_size))
        printed = tuple(printed_size(n, k, s, sum(p) // 2) for n, k, s, p, _ in axes)
        odd = any(sum(pads) % 2 for pads in geometry[3])
        for layer, shape in {**output_shapes(geometry), WINDOWS: counted}.items():
            row = {"layer": layer, "given": 1, "refused": shape is None}
            row["printed"] = odd or shape != printed
            row["general"] = shape not in (None, general)
            rows.append(row)
    total = lambda rows: {count: sum(rows[count]) for count in COUNTS}
    return [{"layer": layer, **total(some)} for layer, some in rows.by("layer").items()]
