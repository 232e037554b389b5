"""The figures of the question `equivariance`."""

import numpy as np
from experiments.equivariance.layers import ROUNDING
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.lab import Records

# Errors of exactly 0 are drawn here, so that a logarithm shows them.
FLOOR = 1e-9


def layers(figure: Figure, layers: Records) -> None:
    """A row a layer, a column a shift: the largest error of any seed, over the whole output and
    away from padding."""
    by_layer, shifts = layers.by("layer"), list(layers.by("shift"))
    largest = lambda errors: max((e for e in errors if e is not None), default=np.nan)
    for axes, part, title in zip(
        figure.subplots(1, 2, sharey=True), ("whole", "interior"),
        ("whole output", "away from padding"), strict=True,
    ):  # fmt: skip
        found = [rows.by("shift", of=part).values() for rows in by_layer.values()]
        grid = np.array([[largest(errors) for errors in row] for row in found])
        image = axes.imshow(np.maximum(grid, FLOOR), norm=LogNorm(FLOOR, 1), aspect="auto")
        for (i, j), value in np.ndenumerate(grid):
            text = "0" if value == 0 else f"{value:.0e}" if value <= ROUNDING else f"{value:.1g}"
            text = "" if np.isnan(value) else text
            axes.text(j, i, text, ha="center", va="center", fontsize=7,
                      color="black" if value > 1e-3 else "white")  # fmt: skip
        axes.set(title=title, xlabel="shift (pixels)")
        axes.set_xticks(range(len(shifts)), map(str, shifts))
        axes.set_yticks(range(len(by_layer)), by_layer, fontsize=8)
    figure.colorbar(image, ax=figure.axes, label="largest |f(Tx) - T f(x)|, relative", shrink=0.5)


def where(figure: Figure, maps: Records, map_shift: int) -> None:
    """Where the outputs of some layers do not move with their input."""
    for axes, row in zip(lab.panels(figure, len(maps)), maps, strict=True):
        style = {"norm": LogNorm(FLOOR, 1), "title": row["layer"]}
        image = lab.picture(axes, np.maximum(row["errors"], FLOOR), **style)
    figure.colorbar(image, ax=figure.axes, label="relative error")
    figure.suptitle(f"|f(Tx) - T f(x)| for a shift by {map_shift} pixels, down and right")


def networks(figure: Figure, networks: Records) -> None:
    """Change of the scores, and accuracy, against the shift: mean and range over the seeds."""
    left, right = figure.subplots(1, 2)
    for (name, rows), marker in zip(networks.by("network").items(), "osD^", strict=True):
        moved = rows.where(lambda r: r["shift"]).pivot("when", "shift", "change")
        moved = {w: {t: np.maximum(v, FLOOR) for t, v in of.items()} for w, of in moved.items()}
        line = lab.curve(left, moved["after"], f"{marker}-", spread="range", label=name, ms=5)
        style = {"color": line.get_color(), "ms": 3, "lw": 1}
        lab.curve(left, moved["before"], f"{marker}:", **style)
        after = rows.where(when="after").by("shift", of="accuracy")
        percent = {t: lab.percent(shares) for t, shares in after.items()}
        lab.curve(right, percent, f"{marker}-", spread="range", label=name, ms=5)
    left.axhline(ROUNDING, color="grey", lw=1, ls="--", label="rounding")
    left.set(yscale="log", xlabel="shift (pixels)", ylabel="largest change of a score, relative")
    left.set_title("trained (lines) and untrained (dotted)")
    right.set(xlabel="shift (pixels)", ylabel="test accuracy (%)", ylim=(0, 100))
    right.set_title("trained: mean and range over seeds")
    for axes in (left, right):
        axes.legend(fontsize=8)
