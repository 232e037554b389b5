"""The figures of `filters`."""

import base64
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

# What the colours of `_filters.COLOURS` are called.
NAMES = {"R": "red", "G": "lime", "B": "blue", "RG": "yellow", "RB": "magenta", "GB": "cyan"}
NAMES["RGB"] = "white"


def activation_maps(data: Mapping[str, Any]) -> Figure:
    """The middle of each photograph, and beside it what each kernel makes of it."""
    pictures = data["pictures"]
    figure = Figure(figsize=(12, 1.75 * len(pictures) + 0.2), layout="constrained")
    grid = figure.subplots(len(pictures), 5, squeeze=False)
    for row, parts in zip(grid, pictures.values(), strict=True):
        for axes, (name, pixels) in zip(row, parts.items(), strict=True):
            axes.set(title=name if axes in grid[0] else "", xticks=[], yticks=[])
            if name == "photograph":
                axes.imshow(unpack(pixels))
            else:
                image = axes.imshow(unpack(pixels), cmap="RdBu_r", vmin=-300, vmax=300)
    figure.colorbar(image, ax=grid, label="output (grey levels)", shrink=0.8, extend="both")
    return figure


def responses(data: Mapping[str, Any]) -> Figure:
    """Outputs against the range of the window, the direction of an edge, and its colour."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    by_range, by_angle, by_colour = figure.subplots(1, 3)
    for name in ("ridge", "vertical", "horizontal", "red"):
        by_range.plot(*_means(data, name), "o-", label=name, markersize=4)
    by_range.set_xscale("symlog", linthresh=1)
    by_range.set(xlabel="range of values in the window (grey levels)")
    by_range.set(ylabel="mean |output| (% of the largest)", title="photographs")
    by_range.legend()
    for name, values in data["synthetic"]["edges"].items():
        by_angle.plot(data["angles"], values, "o-", label=name, markersize=4)
    by_angle.axhline(0, color="grey", linewidth=0.8)
    by_angle.set(xticks=[0, 90, 180, 270], xticklabels=["left", "top", "right", "bottom"])
    by_angle.set(xlabel="bright side of the edge", ylabel="output at contrast 1", title="edges")
    by_angle.legend()
    values = {NAMES[a]: z for a, b, z in data["synthetic"]["colours"] if b == ""}
    by_colour.bar(list(values), list(values.values()), color=list(values), edgecolor="black")
    by_colour.tick_params(axis="x", rotation=45)
    by_colour.set(xlabel="colour on the left of black", ylabel="output at contrast 1")
    by_colour.set(title="the red filter at an edge")
    return figure


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """The array that `_filters.pack` was given."""
    flat = np.frombuffer(base64.b64decode(packed["int16"]), "<i2")
    return flat.reshape(packed["shape"])


def _means(data: Mapping[str, Any], name: str) -> tuple[list[float], list[float]]:
    """Range, and the mean magnitude of the output in percent, over all photographs."""
    found = [photo["flat"][name] for photo in data["photos"].values()]
    ranges, means = [], []
    for i, (low, high) in enumerate(itertools.pairwise(data["bins"])):
        count = sum(f["counts"][i] for f in found)
        if count:
            total = sum((f["means"][i] or 0.0) * f["counts"][i] for f in found)
            ranges.append((low + high - 1) / 2)
            means.append(100 * total / count)
    return ranges, means
