"""The figures of `sample_efficiency`."""

import math

from experiments.sample_efficiency.nets import NETS
from experiments.sample_efficiency.search import TARGET, exponent
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.lab import Records

COLOURS = {"conv": "tab:blue", "local": "tab:green", "fc_sgd": "tab:red", "fc_adam": "black"}
# The two fully connected nets lie on each other.
STYLES = {"conv": "-", "local": "-", "fc_sgd": "-", "fc_adam": "--"}


def samples_needed(figure: Figure, needed: Records) -> None:
    """n against d: a dot for each seed, the fitted power of d, one panel a target."""
    for target, axes in by_target(figure, needed).items():
        for net, name in NETS.items():
            found = needed.where(lambda row: row["n"] is not None, net=net, target=target)
            if not found:
                continue
            power = exponent(needed, net, target).mean
            logs = [math.log(row["n"]) - power * math.log(row["d"]) for row in found]
            level = math.exp(sum(logs) / len(logs))
            look = {
                "color": COLOURS[net],
                "ls": STYLES[net],
                "label": f"{name}: $d^{{{power:.2f}}}$",
            }
            dimensions = sorted({*needed["d"]})
            axes.plot(found["d"], found["n"], ".", color=COLOURS[net], alpha=0.5)
            axes.plot(dimensions, [level * d**power for d in dimensions], **look)
        against_dimension(axes, needed, target)
    figure.axes[0].set_ylabel("training examples n")


def by_target(figure: Figure, needed: Records) -> dict[str, Axes]:
    """A panel for each accuracy that is aimed at, from left to right."""
    targets = list(needed.by("target"))
    figure.set_size_inches(5 * len(targets), 4.2)
    return dict(zip(targets, lab.panels(figure, len(targets), sharey=True), strict=True))


def against_dimension(axes: Axes, needed: Records, target: str) -> None:
    """Both axes logarithmic, ticks at the dimensions, the accuracy aimed at as the title."""
    lab.log_axes(axes, x=sorted({*needed["d"]}))
    axes.set(yscale="log", title=f"{float(target):.0%} of test accuracy")
    axes.set(xlabel="dimension d of the input")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def learning_curves(figure: Figure, tried: Records) -> None:
    """What the searches saw at the largest d: test and training accuracy against n."""
    axes = figure.subplots()
    largest = max(tried["d"])
    for net in NETS:
        accuracies(axes, net, tried.where(net=net, d=largest))
    axes.axhline(float(TARGET), color="grey", linewidth=0.8)
    finish(axes, f"d = {largest}: mean of the seeds that tried n examples", loc="lower right")


def images(figure: Figure, images: Records) -> None:
    """Test and training accuracy on Gaussian images against n."""
    axes = figure.subplots()
    for net, found in images.by("net").items():
        accuracies(axes, net, found)
    finish(axes, "Gaussian images: which of two channels has the larger norm")
    lab.log_axes(axes, x=sorted({*images["n"]}))


def accuracies(axes: Axes, net: str, found: Records) -> None:
    """A net's means over seeds, and a dot for each on test data."""
    colour = COLOURS[net]
    axes.plot(found["n"], found["test"], ".", color=colour)
    for of, style, label in (("test", STYLES[net], NETS[net]), ("training", ":", None)):
        at = dict(sorted(found.by("n", of=of).items()))
        lab.curve(axes, at, style, color=colour, label=label)


def finish(axes: Axes, title: str, **legend: str) -> None:
    axes.plot([], [], ":", color="grey", label="on the training examples")
    axes.set(xscale="log", xlabel="training examples n", ylabel="accuracy", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, **legend)
