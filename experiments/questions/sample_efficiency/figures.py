"""The figures of `sample_efficiency`."""

import math
from collections.abc import Sequence

from experiments.sample_efficiency.nets import NETS
from experiments.sample_efficiency.search import TARGET, exponent
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab.lab import Records

COLOURS = {"conv": "tab:blue", "local": "tab:green", "fc_sgd": "tab:red", "fc_adam": "black"}
# The two fully connected nets lie on each other.
STYLES = {"conv": "-", "local": "-", "fc_sgd": "-", "fc_adam": "--"}


def samples_needed(figure: Figure, needed: Records) -> None:
    """n against d: a dot for each seed, the fitted power of d, one panel a target."""
    for target, axes in by_target(figure, needed).items():
        for net, name in NETS.items():
            found = needed.where(net=net, target=target)
            points = [(row["d"], row["n"]) for row in found if row["n"] is not None]
            if not points:
                continue
            power = exponent(needed, net, target).mean
            level = sum(math.log(n) - power * math.log(d) for d, n in points) / len(points)
            dimensions = sorted({*needed["d"]})
            line = [math.exp(level) * d**power for d in dimensions]
            axes.plot(*zip(*points, strict=True), ".", color=COLOURS[net], alpha=0.5)
            look = {"color": COLOURS[net], "linestyle": STYLES[net]}
            axes.plot(dimensions, line, **look, label=f"{name}: $d^{{{power:.2f}}}$")
        against_dimension(axes, needed, target)
    figure.axes[0].set_ylabel("training examples n")


def by_target(figure: Figure, needed: Records) -> dict[str, Axes]:
    """A panel for each accuracy that is aimed at, from left to right."""
    targets = list(needed.by("target"))
    figure.set_size_inches(5 * len(targets), 4.2)
    panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    return dict(zip(targets, panels, strict=True))


def against_dimension(axes: Axes, needed: Records, target: str) -> None:
    """Both axes logarithmic, ticks at the dimensions, the accuracy aimed at as the title."""
    dimensions = sorted({*needed["d"]})
    axes.set(xscale="log", yscale="log", title=f"{float(target):.0%} of test accuracy")
    axes.set(xlabel="dimension d of the input")
    axes.set_xticks(dimensions, [str(d) for d in dimensions])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def learning_curves(figure: Figure, tried: Records) -> None:
    """What the searches saw at the largest d: test and training accuracy against n."""
    axes = figure.subplots()
    largest = max(tried["d"])
    for net, name in NETS.items():
        test, training = means(tried.where(net=net, d=largest))
        axes.plot(*test, marker=".", linestyle=STYLES[net], color=COLOURS[net], label=name)
        axes.plot(*training, ":", color=COLOURS[net])
    axes.axhline(float(TARGET), color="grey", linewidth=0.8)
    finish(axes, f"d = {largest}: mean of the seeds that tried n examples", loc="lower right")


def images(figure: Figure, images: Records) -> None:
    """Test and training accuracy on Gaussian images against n, a dot for each seed."""
    axes = figure.subplots()
    for net, found in images.by("net").items():
        axes.plot(found["n"], found["test"], ".", color=COLOURS[net])
        test, training = means(found)
        axes.plot(*test, color=COLOURS[net], label=NETS[net])
        axes.plot(*training, ":", color=COLOURS[net])
    finish(axes, "Gaussian images: which of two channels has the larger norm")
    sizes = sorted({*images["n"]})
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()


def finish(axes: Axes, title: str, **legend: str) -> None:
    axes.plot([], [], ":", color="grey", label="on the training examples")
    axes.set(xscale="log", xlabel="training examples n", ylabel="accuracy", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, **legend)


def means(tried: Records) -> tuple[tuple[Sequence[int], Sequence[float]], ...]:
    """Sizes in order, and the mean at each of the accuracies on test and on training data."""

    def curve(of: str) -> tuple[Sequence[int], Sequence[float]]:
        at = dict(sorted(tried.by("n", of=of).items()))
        return list(at), [sum(values) / len(values) for values in at.values()]

    return curve("test"), curve("training")
