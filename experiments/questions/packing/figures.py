"""The figures of the question `packing`."""

import math

from experiments.packing.estimates import constant_by_d, full_packings, inverse_deltas, pooled
from experiments.packing.sets import SPACES, dimension
from experiments.packing.tasks import APART
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.lab import Records


def pairs(figure: Figure, pairs: Records) -> None:
    """How often two tasks disagree, a dot a pair in the largest dimension, against the distance of
    their rotations (left: tasks that are the same lie far apart) and of their matrices (right)."""
    d = max(pairs["d"])
    panels = figure.subplots(1, 2, sharey=True)
    for axes, of, x in zip(panels, ("rotations", "orbit"), ("R", "A"), strict=True):
        for kind, found in pairs.where(d=d).by("kind").items():
            shares = [pair["disagree"] / pair["inputs"] for pair in found]
            axes.plot(found[of], shares, "o", ms=4, alpha=0.5, label=kind)
        axes.set(xlabel=rf"$\|{x}_1 - {x}_2\|_F$, $d = {d}$", ylabel="probability of disagreement")
    c, reach = constant_by_d(pairs)[d], 2 * math.sqrt(d)
    panels[1].plot([0, reach], [0, c * reach], "k--", lw=1, label=r"$c\,\|A_1 - A_2\|_F$")
    panels[0].set(title="(10.11) as printed: no $c > 0$")
    panels[1].set(title=r"with $A = R^T Q R$")
    panels[1].legend(fontsize=9)


def constants(figure: Figure, pairs: Records) -> None:
    """The ratio of disagreement and distance of the matrices, a dot a kind of pair and seed,
    against the dimension: it falls as 1 / sqrt(d) (line), so that no constant serves every d."""
    axes = figure.subplots()
    for kind, found in pairs.where(kind=APART).by("kind").items():
        points = [(d, pooled(of)) for (d, _), of in found.by("d", "seed").items()]
        axes.plot(*zip(*points, strict=True), "o", ms=4, alpha=0.6, label=kind)
    dims = sorted({*pairs["d"]})
    close = [1 / (math.pi * math.sqrt(d)) for d in dims]
    axes.plot(dims, close, "k-", lw=0.8, label=r"$1 / (\pi \sqrt{d})$")
    lab.log_axes(axes, x=dims, y=[0.05, 0.1, 0.2])
    axes.set(xlabel="dimension $d$", ylabel=r"disagreement / $\|A_1 - A_2\|_F$")
    axes.legend()


def packings(figure: Figure, packings: Records) -> None:
    """The number of points of full packings against the inverse of their distance, a dot a packing;
    the lines have the slope D, the dimension of the space."""
    panels = figure.subplots(1, len(SPACES), sharey=True)
    metric = {
        "rotations": r"$\|R_i - R_j\|_F$",
        "orbit": r"$\|A_i - A_j\|_F$",
        "functions": "disagreement",
    }
    for axes, space in zip(panels, SPACES, strict=True):
        for d, found in full_packings(packings.where(space=space)).by("d").items():
            x, power = inverse_deltas(found), dimension(space, d)
            label = f"$d = {d}$, $D = {power}$"
            [dots] = axes.loglog(x, found["m"], "o", ms=4, label=label)
            start, m = min(zip(x, found["m"], strict=True))
            line = m, m * (max(x) / start) ** power
            axes.loglog([start, max(x)], line, color=dots.get_color(), lw=0.8)
        low, high = axes.get_xlim()
        ticks = [t for t in (0.3, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
        lab.log_axes(axes, x=ticks)
        axes.set_xlim(low, high)
        axes.set(title=space, xlabel=rf"$1 / \delta$; {metric[space]} $\geq \delta$")
        axes.legend(fontsize=8)
    panels[0].set(ylabel="points of a full packing, $M$")
