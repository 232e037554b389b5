"""The figures of the question `packing`."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from experiments._packing_verdicts import APART, SPACES, constant_by_d, pooled

Data = Mapping[str, Any]


def pairs(data: Data) -> Figure:
    """The disagreement of pairs, in the largest dimension, against both matrix distances."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    d = max(p["d"] for p in data["pairs"])
    panels = figure.subplots(1, 2, sharey=True)
    for axes, of, x in zip(panels, ("rotations", "orbit"), ("R", "A"), strict=True):
        for i, kind in enumerate((*APART, "same task")):
            points = [
                (far, count / p["inputs"])
                for p in data["pairs"]
                if (p["kind"], p["d"]) == (kind, d)
                for far, count in zip(p[of], p["disagree"], strict=True)
            ]
            axes.plot(*zip(*points, strict=True), "o", ms=4, alpha=0.5, color=f"C{i}", label=kind)
        axes.set(xlabel=f"||{x}1 - {x}2||_F, d = {d}", ylabel="probability of disagreement")
    c, reach = constant_by_d(data)[d], 2 * math.sqrt(d)
    panels[1].plot([0, reach], [0, c * reach], "k--", lw=1, label="c ||A1 - A2||_F")
    panels[0].set(title="(10.11) as printed: no c > 0")
    panels[1].set(title="with A = R^T Q R")
    panels[1].legend(fontsize=9)
    return figure


def constants(data: Data) -> Figure:
    """The ratio of disagreement and distance on the orbit, against the dimension."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for i, kind in enumerate(APART):
        points = [(p["d"], pooled(p)) for p in data["pairs"] if p["kind"] == kind]
        axes.loglog(*zip(*points, strict=True), "o", ms=4, color=f"C{i}", alpha=0.6, label=kind)
    dims = sorted({p["d"] for p in data["pairs"]})
    close = [1 / (math.pi * math.sqrt(d)) for d in dims]
    axes.loglog(dims, close, "k-", lw=0.8, label="1 / (pi sqrt(d))")
    axes.minorticks_off()
    ticks = [0.05, 0.1, 0.2]
    axes.set(xticks=dims, xticklabels=dims, yticks=ticks, yticklabels=ticks)
    axes.set(xlabel="dimension d", ylabel="disagreement / ||A1 - A2||_F")
    axes.legend()
    return figure


def packings(data: Data) -> Figure:
    """The sizes of full packings against their distance, with the slope that they should have."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, len(SPACES), sharey=True)
    metric = {"rotations": "||Ri - Rj||_F", "orbit": "||Ai - Aj||_F", "functions": "disagreement"}
    for axes, space in zip(panels, SPACES, strict=True):
        power = 2 if space == "functions" else 1
        for i, place in enumerate(p for p in data["packings"] if p["space"] == space):
            full = [s for found in place["sets"] for s in found[:-1] if s["full"]]
            points = sorted((1 / s["distance"] ** power, s["m"]) for s in full)
            if not points:
                continue
            label = f"d = {place['d']}, D = {place['dimension']}"
            axes.loglog(*zip(*points, strict=True), "o", ms=4, color=f"C{i}", label=label)
            x = [points[0][0], points[-1][0]]
            y = [points[0][1] * (v / x[0]) ** place["dimension"] for v in x]
            axes.loglog(x, y, color=f"C{i}", lw=0.8)
        low, high = axes.get_xlim()
        ticks = [t for t in (0.3, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
        axes.set_xticks(ticks, labels=[f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_xlim(low, high)
        axes.set(title=space, xlabel=f"1 / delta; {metric[space]} >= delta")
        axes.legend(fontsize=8)
    panels[0].set(ylabel="points of a full packing, M")
    return figure
