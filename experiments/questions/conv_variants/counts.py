"""Weights of random layers, and of typical ones."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from experiments.parameter_counts.layers import FORMULAS, Case, abstract

from cnnlab.analysis import count_parameters
from cnnlab.models import PLANS


def counted(rng: np.random.Generator, draws: int) -> Iterator[dict[str, Any]]:
    """Weights of random layers, and what A 5.1 to 5.3 say."""
    for _ in range(draws):
        s, (c, out) = 2 * int(rng.integers(0, 4)) + 1, rng.integers(1, 512, 2).tolist()
        g = int(rng.integers(1, 16))
        for kind in ("convolution", "1x1", "depthwise", "grouped", "separable"):
            groups = g if kind == "grouped" else 1
            case = Case(kind, 1, 1, groups * c, groups * out, s, groups)
            yield {"layer": kind, "weights": weights(case), "formula": FORMULAS[kind](case)}


def weights(case: Case) -> int:
    return count_parameters(abstract(case))


def typical_ratios() -> list[float]:
    """Weights of a separable layer as a part of a dense one's, for the layers of VGG-16 on RGB."""
    widths = [3, *(width for width in PLANS["vgg16"] if width != "M")]
    of = lambda kind, c, out: weights(Case(kind, 1, 1, c, out, 3))
    pairs = itertools.pairwise(widths)
    return [of("separable", *channels) / of("convolution", *channels) for channels in pairs]
