"""Measurements of `output_shapes`: shapes of layers that never run, and values of small ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from cnnlab import nn, ops
from cnnlab.analysis import windows

KINDS = ("even padding", "too large", "dilated", "uneven padding")
# Largest spatial size and kernel size, by rank.
_LARGEST = {1: (60, 9), 2: (24, 7), 3: (9, 4)}
_SPATIAL = {1: "H", 2: "HW", 3: "DHW"}


class Geometry(NamedTuple):
    """Sizes, kernel, stride, padding and dilation, one entry a spatial axis."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]


def draw(kind: str, rng: np.random.Generator) -> Geometry:
    """A geometry of one of `KINDS`; windows fit, but those of "too large" along some axis."""
    while True:
        rank = int(rng.integers(1, 4))
        largest, kernel = _LARGEST[rank]
        some = lambda low, high, rank=rank: tuple(int(n) for n in rng.integers(low, high + 1, rank))
        pads = tuple((p, p) for p in some(0, 4))
        if kind == "uneven padding":
            pads = tuple(zip(some(0, 4), some(0, 4), strict=True))
        dilation = some(1, 3) if kind == "dilated" else (1,) * rank
        sizes = some(1, 5 if kind == "too large" else largest)
        geometry = Geometry(sizes, some(1, kernel), some(1, 4), pads, dilation)
        fits = all(windows.counted(*axis) for axis in zip(*geometry, strict=True))
        if fits == (kind != "too large") and (kind != "dilated" or max(dilation) > 1):
            return geometry


def shapes(g: Geometry) -> dict[str, tuple[int, ...] | None]:
    """The spatial shape of every layer's output, by tracing alone; None where it refuses.

    Pools take no dilation, and less padding than a window.
    """
    rank = len(g.sizes)
    window = (g.kernel, g.stride, g.pads, g.dilation)
    key = jr.key(0)
    layers: dict[str, Callable[[Any], Any]] = {
        "convolution": lambda x: nn.Conv(rank, 1, 1, *window, key=key)(x),
        "locally connected": lambda x: nn.LocallyConnected(
            rank, 1, 1, g.kernel, g.sizes, *window[1:], key=key
        )(x),
        "unfold": lambda x: ops.unfold(
            x, g.kernel, stride=g.stride, padding=g.pads, dilation=g.dilation
        ),
        "lax": lambda x: lax.conv_general_dilated(
            x,
            jnp.zeros((*g.kernel, 1, 1)),
            g.stride,
            g.pads,
            rhs_dilation=g.dilation,
            dimension_numbers=(f"N{_SPATIAL[rank]}C", f"{_SPATIAL[rank]}IO", f"N{_SPATIAL[rank]}C"),
        ),
    }
    if set(g.dilation) == {1} and all(max(p) < k for p, k in zip(g.pads, g.kernel, strict=True)):
        layers["max-pool"] = lambda x: nn.MaxPool(rank, *window[:3])(x)
        layers["avg-pool"] = lambda x: nn.AvgPool(rank, *window[:3])(x)
    return {name: _shape(layer, g.sizes) for name, layer in layers.items()}


def _shape(layer: Callable[[Any], Any], sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    try:
        y = jax.eval_shape(layer, jax.ShapeDtypeStruct((1, *sizes, 1), jnp.float32))
    except ValueError:
        return None
    return tuple(y.shape[1:-1])


def compare(kind: str, number: int, rng: np.random.Generator) -> dict[str, dict[str, int]]:
    """By layer, how many geometries of a kind it was given, how many of them it refused, and for
    how many its shape is not that of the printed or of the general formula.

    Of the printed formula a refusal is a difference, too, and so is an odd sum of the two sides'
    padding, for which there is no `P`. "formulas": the general one against counted windows.
    """
    found: dict[str, dict[str, int]] = {}
    for _ in range(number):
        g = draw(kind, rng)
        axes = list(zip(*g, strict=True))
        general = tuple(windows.formula(*axis) for axis in axes)
        printed = None
        if all(sum(p) % 2 == 0 for p in g.pads):
            printed = tuple(windows.printed_size(n, k, s, sum(p) // 2) for n, k, s, p, _ in axes)
        counted = tuple(windows.counted(*axis) for axis in axes)
        for name, shape in {**shapes(g), "formulas": counted}.items():
            row = found.setdefault(name, {"given": 0, "refused": 0, "printed": 0, "general": 0})
            row["given"] += 1
            row["refused"] += shape is None
            row["printed"] += shape != printed
            row["general"] += shape is not None and shape != general
    return found


def values(rng: np.random.Generator) -> dict[str, int]:
    """Outputs of a small convolution and a small max-pool of whole numbers that are not those of
    the plain loops of B eqs. 10.8 and 10.9."""
    integers = lambda *shape: rng.integers(-4, 5, shape).astype(float)
    stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 3))
    kernel = integers(*rng.integers(1, 4, 2), *rng.integers(1, 3, 2))
    x = integers(*rng.integers(3, 8, 2), kernel.shape[2])
    expected = windows.plain_convolution(x, kernel, stride, padding)
    arrays = (jnp.asarray(a, jnp.float32) for a in (x, kernel))
    z = np.asarray(ops.conv(*arrays, stride=stride, padding=padding, algorithm="lax"))
    window, step = (int(n) for n in rng.integers(1, 4, 2))
    largest = windows.plain_max_pool(x[..., 0], window, step)
    y = np.asarray(ops.max_pool(jnp.asarray(x[..., :1], jnp.float32), (window, window), step))
    return {
        "sums": z.size,
        "sums_differ": _differ(z, expected),
        "maxima": y.size,
        "maxima_differ": _differ(y[..., 0], largest),
    }


def _differ(a: np.ndarray, b: np.ndarray) -> int:
    return int((a != b).sum()) if a.shape == b.shape else max(a.size, b.size)


def preserving(kernel: int) -> dict[str, Any]:
    """For one kernel size: the paddings `P` that keep every size from 1 to 40 at stride 1 by the
    printed formula, and how many of those sizes the layer's padding "SAME" does not keep."""
    sizes = range(1, 41)
    layer = lambda x: ops.conv(x, jnp.zeros((kernel, 1, 1)), padding="SAME")
    lost = sum(_shape(layer, (n,)) != (n,) for n in sizes)
    total = sum(ops.resolve_padding("SAME", (40,), kernel)[0])
    return {
        "kernel": kernel,
        "P": windows.keeping_sizes(kernel, sizes),
        "sizes": len(sizes),
        "lost": lost,
        "total": total,
    }


def curve(kernel: int, stride: int, padding: int, dilation: int) -> dict[str, Any]:
    """Printed and actual (lax) output size of inputs from 1 to 16."""
    sizes = list(range(1, 17))
    actual = [
        shapes(Geometry((n,), (kernel,), (stride,), ((padding, padding),), (dilation,)))["lax"]
        for n in sizes
    ]
    return {
        "label": f"K = {kernel}, S = {stride}, P = {padding}"
        + (f", dilation {dilation}" if dilation > 1 else ""),
        "sizes": sizes,
        "printed": [windows.printed_size(n, kernel, stride, padding) for n in sizes],
        "actual": [None if shape is None else shape[0] for shape in actual],
    }
