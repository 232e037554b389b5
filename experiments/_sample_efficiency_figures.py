"""The figures of `sample_efficiency`."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab.lab.verdict import Estimate

COLOURS = {"conv": "tab:blue", "local": "tab:green", "fc_sgd": "tab:red", "fc_adam": "black"}
# The two fully connected nets lie on each other.
STYLES = {"conv": "-", "local": "-", "fc_sgd": "-", "fc_adam": "--"}


def samples_needed(
    data: Mapping[str, Any],
    names: Mapping[str, str],
    exponent: Callable[[Mapping[str, Any], str, str], Estimate],
) -> Figure:
    """n against d: a dot for each seed, the fitted power of d, one panel a target."""
    figure = Figure(figsize=(5 * len(data["targets"]), 4.2), layout="constrained")
    panels = figure.subplots(1, len(data["targets"]), sharey=True, squeeze=False)[0]
    dimensions = sorted({run["d"] for run in data["runs"]})
    for axes, target in zip(panels, data["targets"], strict=True):
        for net, name in names.items():
            points = [
                (run["d"], n)
                for run in data["runs"]
                if run["net"] == net and (n := run["sizes"][target]) is not None
            ]
            if not points:
                continue
            power = exponent(data, net, target).mean
            level = sum(math.log(n) - power * math.log(d) for d, n in points) / len(points)
            line = [math.exp(level) * d**power for d in dimensions]
            axes.plot(*zip(*points, strict=True), ".", color=COLOURS[net], alpha=0.5)
            look = {"color": COLOURS[net], "linestyle": STYLES[net]}
            axes.plot(dimensions, line, **look, label=f"{name}: $d^{{{power:.2f}}}$")
        against_dimension(axes, dimensions, target)
    panels[0].set_ylabel("training examples n")
    return figure


def against_dimension(axes: Axes, dimensions: Sequence[int], target: str) -> None:
    """Both axes logarithmic, ticks at the dimensions, the accuracy aimed at as the title."""
    axes.set(xscale="log", yscale="log", title=f"{float(target):.0%} of test accuracy")
    axes.set(xlabel="dimension d of the input")
    axes.set_xticks(dimensions, [str(d) for d in dimensions])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def learning_curves(data: Mapping[str, Any], names: Mapping[str, str]) -> Figure:
    """What the searches saw at the largest d: test and training accuracy against n."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    largest = max(run["d"] for run in data["runs"])
    for net, name in names.items():
        runs = [run for run in data["runs"] if (run["net"], run["d"]) == (net, largest)]
        test = _means([(n, test) for run in runs for n, test, _ in run["tried"]])
        train = _means([(n, train) for run in runs for n, _, train in run["tried"]])
        axes.plot(*test, marker=".", linestyle=STYLES[net], color=COLOURS[net], label=name)
        axes.plot(*train, ":", color=COLOURS[net])
    axes.axhline(0.95, color="grey", linewidth=0.8)
    axes.plot([], [], ":", color="grey", label="on the training examples")
    axes.set(xscale="log", xlabel="training examples n", ylabel="accuracy")
    axes.set(title=f"d = {largest}: mean of the seeds that tried n examples")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def images(rows: Mapping[str, Mapping[int, list]], names: Mapping[str, str]) -> Figure:
    """Test and training accuracy on Gaussian images against n, a dot for each seed."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for net, by_size in rows.items():
        points = [(n, test, train) for n, seeds in by_size.items() for test, train in seeds]
        axes.plot([n for n, _, _ in points], [t for _, t, _ in points], ".", color=COLOURS[net])
        test = _means([(n, test) for n, test, _ in points])
        train = _means([(n, train) for n, _, train in points])
        axes.plot(*test, color=COLOURS[net], label=names[net])
        axes.plot(*train, ":", color=COLOURS[net])
    axes.plot([], [], ":", color="grey", label="on the training examples")
    sizes = sorted({n for by_size in rows.values() for n in by_size})
    axes.set(xscale="log", xlabel="training examples n", ylabel="accuracy")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.set(title="Gaussian images: which of two channels has the larger norm")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def _means(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Sizes in order, and the mean of what is known at each."""
    sizes = sorted({n for n, _ in points})
    at = {n: [value for m, value in points if m == n] for n in sizes}
    return sizes, [sum(values) / len(values) for values in at.values()]
