"""The figures of the question `equivariance`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

# Errors of exactly 0 are drawn here, so that a logarithm shows them.
FLOOR = 1e-9


def layer_errors(data: Mapping[str, Any], rounding: float) -> Figure:
    """A row a layer, a column a shift: the largest error of any seed, over the whole output and
    away from padding."""
    names, shifts = list(data["layers"]), data["shifts"]
    figure = Figure(figsize=(10, 7), layout="constrained")
    norm = LogNorm(FLOOR, 1)
    for axes, part, title in zip(
        figure.subplots(1, 2, sharey=True), (0, 1), ("whole output", "away from padding"),
        strict=True,
    ):  # fmt: skip
        grid = np.full((len(names), len(shifts)), np.nan)
        for i, row in enumerate(data["layers"].values()):
            for j in range(len(shifts)):
                found = [s[j][part] for s in row["errors"] if s[j][part] is not None]
                grid[i, j] = max(found, default=np.nan)
        image = axes.imshow(np.maximum(grid, FLOOR), norm=norm, cmap="viridis", aspect="auto")
        for (i, j), value in np.ndenumerate(grid):
            text = "0" if value == 0 else f"{value:.0e}" if value <= rounding else f"{value:.1g}"
            text = "" if np.isnan(value) else text
            axes.text(j, i, text, ha="center", va="center", fontsize=7,
                      color="black" if value > 1e-3 else "white")  # fmt: skip
        axes.set(title=title, xlabel="shift (pixels)")
        axes.set_xticks(range(len(shifts)), map(str, shifts))
        axes.set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(image, ax=figure.axes, label="largest |f(Tx) - T f(x)|, relative", shrink=0.5)
    return figure


def error_maps(data: Mapping[str, Any]) -> Figure:
    """Where the outputs of some layers do not move with their input."""
    maps = data["maps"]
    figure = Figure(figsize=(10, 2.7), layout="constrained")
    for axes, (name, at) in zip(figure.subplots(1, len(maps)), maps.items(), strict=True):
        image = axes.imshow(np.maximum(at, FLOOR), norm=LogNorm(FLOOR, 1), cmap="viridis")
        axes.set(title=name, xticks=[], yticks=[])
        axes.title.set_fontsize(9)
    figure.colorbar(image, ax=figure.axes, label="relative error")
    figure.suptitle(f"|f(Tx) - T f(x)| for a shift by {data['map_shift']} pixels, down and right")
    return figure


def network_curves(data: Mapping[str, Any], rounding: float) -> Figure:
    """Change of the scores, and accuracy, against the shift: mean and range over the seeds."""
    shifts = data["shifts"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (name, row), marker in zip(data["networks"].items(), "osD^", strict=True):
        for axes, key, places in ((left, "change", shifts), (right, "accuracy", [0, *shifts])):
            values = np.array([run["after"][key] for run in row["runs"]])
            values = np.maximum(values, FLOOR) if key == "change" else 100 * values
            line = axes.plot(places, values.mean(0), marker + "-", label=name, ms=5)[0]
            axes.fill_between(
                places, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, lw=0
            )
            if key == "change":
                before = np.array([run["before"][key] for run in row["runs"]])
                before = np.maximum(before, FLOOR).mean(0)
                axes.plot(places, before, marker + ":", color=line.get_color(), ms=3, lw=1)
    left.axhline(rounding, color="grey", lw=1, ls="--", label="rounding")
    left.set(yscale="log", xlabel="shift (pixels)", ylabel="largest change of a score, relative")
    left.set_title("trained (lines) and untrained (dotted)")
    right.set(xlabel="shift (pixels)", ylabel="test accuracy (%)", ylim=(0, 100))
    right.set_title("trained: mean and range over seeds")
    right.legend(fontsize=8)
    left.legend(fontsize=8)
    return figure
