"""The figures of the question `orthogonal_equivariance`."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure


def gaps(trainings: Mapping[str, Sequence[Mapping[str, Any]]], rounding: float) -> Figure:
    """How far `f_R(R x)` is from `f(x)` after each training, in both precisions."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots()
    names = list(trainings)[::-1]
    for precision, colour, shift in (("float32", "C1", 0.12), ("float64", "C0", -0.12)):
        points = [
            (max(gap, 1e-18), i + shift)
            for i, name in enumerate(names)
            for training in trainings[name]
            for gap in training[precision]
        ]
        axes.plot(*zip(*points, strict=True), "o", color=colour, alpha=0.6, label=precision)
    axes.axvline(rounding, color="k", lw=0.8, ls=":", label="limit of rounding, float64")
    labels = [n if "," in n else f"{n}, rotated start" for n in names]
    axes.set(xscale="log", yticks=range(len(names)), yticklabels=labels)
    axes.set(xlabel="||f_R(R x) - f(x)|| / ||f(x)|| on the test inputs")
    axes.set(title="Trained on data and on rotated data: how far the functions are apart")
    axes.legend(fontsize=9)
    return figure


def distributions(arms: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """The test accuracies over random starts, on the original and on rotated data."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(arms))
    for axes, (arm, bases) in zip(panels, arms.items(), strict=True):
        for basis, found in bases.items():
            values = sorted(found["accuracy"])
            share = [(i + 1) / len(values) for i in range(len(values))]
            style = {"color": "k", "lw": 2} if basis == "original" else {"lw": 1.2}
            axes.step(values, share, where="post", label=basis, **style)
        axes.set(title=arm, xlabel="test accuracy", ylabel="share of starts at or below")
        axes.legend(fontsize=8)
    return figure
