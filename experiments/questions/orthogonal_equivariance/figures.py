"""The figures of the question `orthogonal_equivariance`."""

from experiments.orthogonal_equivariance.networks import ARMS, ROUNDING, TRAININGS
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.lab import Records


def gaps(figure: Figure, trainings: Records) -> None:
    """How far f_R(R x), learned from rotated data, is from f(x), a dot a seed: at rounding in both
    precisions where a training is equivariant."""
    axes = figure.subplots()
    names = list(TRAININGS)[::-1]
    for precision, colour, shift in (("float32", "C1", 0.12), ("float64", "C0", -0.12)):
        by_name = trainings.by("training", of=precision)
        points = [(max(x, 1e-18), i + shift) for i, name in enumerate(names) for x in by_name[name]]
        axes.plot(*zip(*points, strict=True), "o", color=colour, alpha=0.6, label=precision)
    axes.axvline(ROUNDING, color="k", lw=0.8, ls=":", label="limit of rounding, float64")
    labels = [n if "," in n else f"{n}, rotated start" for n in names]
    axes.set_yticks(range(len(names)), labels, fontsize=8)
    axes.set(xscale="log", xlabel=r"$\|f_R(R x) - f(x)\| / \|f(x)\|$ on the test inputs")
    axes.legend(fontsize=9)


def distributions(figure: Figure, learned: Records) -> None:
    """The distribution of test accuracies over random starts, on the original and on rotated data:
    curves that coincide are networks that learn as well from both."""
    panels = figure.subplots(1, len(ARMS))
    found = learned.pivot("arm", "basis", "accuracy")
    for axes, (arm, bases) in zip(panels, found.items(), strict=True):
        for basis, accuracies in bases.items():
            style = {"color": "k", "lw": 2} if basis == "original" else {"lw": 1.2}
            axes.ecdf(accuracies, label=basis, **style)
        axes.set(title=arm, xlabel="test accuracy", ylabel="share of starts at or below")
        axes.legend(fontsize=8)


def growth(figure: Figure, growth: Records) -> None:
    """The gap in float64 against the number of steps, means and ranges over the seeds: rounding
    that adds up in proportion would follow the dotted line."""
    axes = figure.subplots()
    for name, rows in growth.by("training").items():
        at = rows.by("steps", of="float64")
        lab.curve(axes, dict(sorted(at.items())), spread="range", label=name)
    steps = sorted({*growth["steps"]})
    least = min(growth["float64"])
    axes.plot(steps, [least * n / steps[0] for n in steps], "k:", lw=0.8, label="in proportion")
    lab.log_axes(axes, x=steps)
    axes.set(yscale="log", xlabel="steps", ylabel=r"$\|f_R(R x) - f(x)\| / \|f(x)\|$")
    axes.legend(fontsize=8)
