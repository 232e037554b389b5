"""The figures of `information_bound`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from experiments._sample_efficiency_data import COUNTS, NETS
from experiments._sample_efficiency_figures import COLOURS, against_dimension

STYLES = {"printed": ":", "orbit": "--"}


def bound(
    data: Mapping[str, Any],
    mean: Callable[[str, int, str], float],
    least: Callable[[str, int, str], float],
) -> Figure:
    """Mean n of a net in a dimension for a target, and log2 M by each count; one panel a target."""
    dimensions = sorted({run["d"] for run in data["runs"]})
    figure = Figure(figsize=(5 * len(data["targets"]), 4.2), layout="constrained")
    panels = figure.subplots(1, len(data["targets"]), sharey=True, squeeze=False)[0]
    for axes, target in zip(panels, data["targets"], strict=True):
        for net in ("conv", "fc_sgd"):
            n = [mean(net, d, target) for d in dimensions]
            axes.plot(dimensions, n, "o-", color=COLOURS[net], label=f"n, {NETS[net]}")
        for count, style in STYLES.items():
            bits = [least(count, d, target) for d in dimensions]
            axes.plot(dimensions, bits, style, color="black", label=f"log2 M: {COUNTS[count]}")
        against_dimension(axes, dimensions, target)
    panels[0].set_ylabel("training examples n, or bits")
    return figure


def parameters(ranks: Sequence[Mapping[str, Any]]) -> Figure:
    """The parameters of the class as counted at random rotations, and by both formulas."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    rows = sorted(ranks, key=lambda row: row["d"])
    d = [row["d"] for row in rows]
    for count, style in STYLES.items():
        axes.plot(d, [row[count] for row in rows], style, color="black", label=COUNTS[count])
    points = [(row["d"], rank) for row in rows for rank in row["ranks"]]
    axes.plot(*zip(*points, strict=True), "o", color="tab:blue", label="rank at random rotations")
    axes.set(xlabel="dimension d of the input", ylabel="parameters of the functions h* o R")
    axes.set_xticks(d)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
