"""The figures of the question `equivariance`."""

import numpy as np
from experiments.equivariance.layers import ROUNDING
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cnnlab.lab import Records

# Errors of exactly 0 are drawn here, so that a logarithm shows them.
FLOOR = 1e-9


def layers(figure: Figure, layers: Records) -> None:
    """A row a layer, a column a shift: the largest error of any seed, over the whole output and
    away from padding."""
    by_layer, shifts = layers.by("layer"), list(layers.by("shift"))
    for axes, part, title in zip(
        figure.subplots(1, 2, sharey=True), ("whole", "interior"),
        ("whole output", "away from padding"), strict=True,
    ):  # fmt: skip
        grid = np.array([
            [max((e for e in errors if e is not None), default=np.nan)
             for errors in rows.by("shift", of=part).values()]
            for rows in by_layer.values()
        ])  # fmt: skip
        image = axes.imshow(
            np.maximum(grid, FLOOR), norm=LogNorm(FLOOR, 1), cmap="viridis", aspect="auto"
        )
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
    for axes, row in zip(figure.subplots(1, len(maps)), maps, strict=True):
        errors = np.maximum(row["errors"], FLOOR)
        image = axes.imshow(errors, norm=LogNorm(FLOOR, 1), cmap="viridis")
        axes.set(xticks=[], yticks=[])
        axes.set_title(row["layer"], fontsize=9)
    figure.colorbar(image, ax=figure.axes, label="relative error")
    figure.suptitle(f"|f(Tx) - T f(x)| for a shift by {map_shift} pixels, down and right")


def networks(figure: Figure, networks: Records) -> None:
    """Change of the scores, and accuracy, against the shift: mean and range over the seeds."""
    left, right = figure.subplots(1, 2)
    for (name, rows), marker in zip(networks.by("network").items(), "osD^", strict=True):
        for axes, key in ((left, "change"), (right, "accuracy")):
            moved = [r for r in rows if r["shift"] or key == "accuracy"]
            found = Records(moved).pivot("when", "shift", key)
            shifts, values = list(found["after"]), np.array(list(found["after"].values()))
            values = np.maximum(values, FLOOR) if key == "change" else 100 * values
            line = axes.plot(shifts, values.mean(1), marker + "-", label=name, ms=5)[0]
            color = line.get_color()
            axes.fill_between(shifts, values.min(1), values.max(1), color=color, alpha=0.2, lw=0)
            if key == "change":
                before = np.maximum(list(found["before"].values()), FLOOR).mean(1)
                axes.plot(shifts, before, marker + ":", color=color, ms=3, lw=1)
    left.axhline(ROUNDING, color="grey", lw=1, ls="--", label="rounding")
    left.set(yscale="log", xlabel="shift (pixels)", ylabel="largest change of a score, relative")
    left.set_title("trained (lines) and untrained (dotted)")
    right.set(xlabel="shift (pixels)", ylabel="test accuracy (%)", ylim=(0, 100))
    right.set_title("trained: mean and range over seeds")
    right.legend(fontsize=8)
    left.legend(fontsize=8)
