"""The layers of chapter A, their formulas, and their counts."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from jaxtyping import Array
from omegaconf import DictConfig

from cnnlab import nn, ops
from cnnlab.analysis.counts import taps_inside, weights_and_biases, xla_multiply_adds
from cnnlab.lab.cells import Cells


@dataclass(frozen=True)
class Case:
    """A layer that maps `(h, w, c)` to `(h, w, c_out)` with kernel size `s`; stride 1."""

    kind: str
    h: int
    w: int
    c: int
    c_out: int
    s: int
    groups: int = 1


# Weights as the chapter counts them, biases apart.
FORMULAS: dict[str, Callable[[Case], int]] = {
    "dense": lambda q: (q.h * q.w) ** 2 * q.c * q.c_out,  # A 1.3
    "locally connected": lambda q: q.h * q.w * q.s**2 * q.c * q.c_out,  # A 2.4
    "convolution": lambda q: q.s**2 * q.c * q.c_out,  # A 3.2
    "1x1": lambda q: q.c * q.c_out,  # A 5.1
    "depthwise": lambda q: q.s**2 * q.c,  # A 5.2
    "grouped": lambda q: q.s**2 * (q.c // q.groups) * q.c_out,  # A 5.2
    "separable": lambda q: q.s**2 * q.c + q.c * q.c_out,  # A 5.3
}


def maker(case: Case, padding: str = "SAME") -> Callable[..., Any]:
    """`make(use_bias=..., key=...)`: the module of `cnnlab.nn`, computed by `lax`."""
    pixels = case.h * case.w
    window = {"kernel_size": case.s, "padding": padding}
    match case.kind:
        case "dense":
            return functools.partial(nn.Linear, pixels * case.c, pixels * case.c_out)
        case "locally connected":
            shape = (case.h, case.w)
            layer = functools.partial(nn.LocallyConnected2d, spatial_shape=shape, **window)
        case "convolution":
            layer = functools.partial(nn.Conv2d, **window, algorithm="lax")
        case "1x1":
            layer = functools.partial(nn.Conv2d, kernel_size=1, padding=padding, algorithm="lax")
        case "depthwise":
            return functools.partial(nn.DepthwiseConv2d, case.c, **window, algorithm="lax")
        case "grouped":
            layer = functools.partial(
                nn.GroupedConv2d, groups=case.groups, **window, algorithm="lax"
            )
        case "separable":
            layer = functools.partial(nn.SeparableConv2d, **window, algorithm="lax")
    return functools.partial(layer, case.c, case.c_out)


def run(layer: Any, x: Array) -> Array:
    """The layer's output for a batch of images, flattened where it wants that."""
    if isinstance(layer, nn.Linear):
        return layer(x.reshape(len(x), -1))
    if isinstance(layer, nn.SeparableConv):
        # Its 1x1 part takes no algorithm.
        return ops.conv(layer.depthwise(x), layer.pointwise.weight, algorithm="lax")
    return layer(x)


def multiply_adds(case: Case, padding: str) -> int:
    """What the layer should cost: each weight once for every place where it is used.

    With padding SAME a product with a zero that is not in the image is no place.
    """
    if case.kind in ("dense", "locally connected"):
        return FORMULAS[case.kind](case)
    places = lambda n, s: taps_inside(n, s) if padding == "SAME" else (n - s + 1) * s
    taps = places(case.h, case.s) * places(case.w, case.s)
    pixels = math.prod(n - (padding == "VALID") * (case.s - 1) for n in (case.h, case.w))
    match case.kind:
        case "1x1":
            return case.h * case.w * case.c * case.c_out
        case "depthwise":
            return taps * case.c
        case "separable":
            return taps * case.c + pixels * case.c * case.c_out
    return taps * (case.c // case.groups) * case.c_out


def counted(case: Case) -> dict[str, Any]:
    """The case, its formula, and the leaves of the module."""
    weights, biases = weights_and_biases(maker(case))
    return {**asdict(case), "formula": FORMULAS[case.kind](case), "weights": weights,
            "biases": biases}  # fmt: skip


def costs(case: Case) -> dict[str, list[float]]:
    """By padding: multiply-adds by formula, and by XLA's cost analysis."""
    # A locally connected layer without padding has fewer positions, so fewer weights.
    paddings = ("SAME",) if case.kind in ("dense", "locally connected") else ("SAME", "VALID")
    shape = (case.h, case.w, case.c)
    return {
        padding: [
            multiply_adds(case, padding), xla_multiply_adds(maker(case, padding), run, shape)
        ]
        for padding in paddings
    }  # fmt: skip


def collect(cfg: DictConfig, cells: Cells, sides: Sequence[int]) -> dict[str, Any]:
    """The counts of the chapter's image, the grid with XLA's, the typical sizes, the picture's."""
    h, w, c = cfg.image
    large = [counted(Case(kind, h, w, c, c, cfg.kernel)) for kind in FORMULAS if kind != "grouped"]
    grid = [
        Case(kind, *size, c, c if kind == "depthwise" else c_out, s, _groups(kind, cfg.groups))
        for kind in FORMULAS
        for size in cfg.sizes
        for c, c_out in cfg.channels
        for s in ([1] if kind in ("dense", "1x1") else cfg.kernels)
    ]
    rows = {str(q): lambda q=q: _row(q) for q in grid}
    typical = [
        counted(Case(kind, 8, 8, c, c_out, s))
        for s in cfg.typical_kernels
        for c in cfg.typical_channels
        for c_out in cfg.typical_channels
        for kind in ("convolution", "separable")
    ]
    pictured = ("dense", "locally connected", "convolution", "separable")
    sides = [counted(Case(kind, n, n, c, c, cfg.kernel)) for kind in pictured for n in sides]
    return {
        "large": large,
        "grid": list(cells.all(rows).values()),
        "typical": typical,
        "sides": sides,
    }


def _row(case: Case) -> dict[str, Any]:
    """A layer's counts; for those of A 5.2 beside the convolution of the same channels."""
    both = lambda q: {**counted(q), "multiply_adds": costs(q)}
    reference = case.kind in ("depthwise", "grouped")
    other = replace(case, kind="convolution", groups=1)
    return {**both(case), "convolution": both(other) if reference else None}


def _groups(kind: str, groups: int) -> int:
    return groups if kind == "grouped" else 1
