"""Examples needed on the task of B 10.2, by nets that share weights and nets that do not."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from experiments.sample_efficiency.nets import NETS, Training, build
from experiments.sample_efficiency.search import (
    TARGET,
    exponent,
    image_accuracy,
    needed_by_seeds,
    percent,
    power,
    sizes_needed,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Counts, Estimate, Positive, Records, Rows, Verdict

Dimensions = Annotated[Sequence[int], "list of at least 2 different even whole numbers >= 4"]
Targets = Annotated[Sequence[float], "list of at least 1 numbers above 0.5 to below 1"]
Repeats = Annotated[Mapping[str, Count], "mapping of conv, local, fc_sgd, fc_adam"]
Size = Annotated[Sequence[int], "list of 2 whole numbers >= 1"]
COLOURS = {"conv": "tab:blue", "local": "tab:green", "fc_sgd": "tab:red", "fc_adam": "black"}
# The two fully connected nets lie on each other.
STYLES = {"conv": "-", "local": "-", "fc_sgd": "-", "fc_adam": "--"}
REPEATS = {"conv": 16, "local": 4, "fc_sgd": 1, "fc_adam": 1}

question = lab.Question(
    "sample_efficiency",
    "How many examples does a convolutional net need, and how many one without its symmetry?",
    note="The task is sign(sum of squares of the first half of x minus that of the second), x from "
    "N(0, I_d). The paper behind it appeared at ICLR 2021, not, as the chapter's footnote has "
    "it, at ICML. The argument needs an algorithm that treats all rotations of the inputs "
    "alike, which Adam does not.",
)


@question.check
def check(targets: Sequence[float]) -> None:
    """The accuracy by which the claims are judged is among the targets."""
    if TARGET not in map(str, targets):
        raise ConfigError(f"targets: expected {TARGET} among them, got {list(targets)}")


@question.measure(
    full={
        "dimensions": [8, 12, 16, 24, 32, 48, 64, 96], "seeds": 8,
        "repeats": {**REPEATS, "conv": 32}, "test_size": 20000, "per_octave": 8,
        "image": [32, 32], "image_sizes": [256, 1024, 4096], "image_hidden": 1024,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    dimensions: Annotated[Dimensions, "of the inputs of B 10.2"] = (8, 16, 24, 32),
    seeds: Annotated[Count, "searches for each net and dimension"] = 5,
    repeats: Annotated[Repeats, "training sets and weights behind an accuracy"] = REPEATS,
    targets: Annotated[Targets, "test accuracies to reach"] = (0.9, 0.95),
    test_size: Annotated[Count, "test examples behind an accuracy"] = 8000,
    per_octave: Annotated[Count, "sizes of training sets between one and its double"] = 4,
    channels: Annotated[Count, "of the convolution and the locally connected layer"] = 2,
    kernel_size: Annotated[Count, "of the same"] = 3,
    batch_size: Annotated[Count, "examples in a step"] = 64,
    epochs: Annotated[Count, "passes over the training set"] = 50,
    least_steps: Annotated[Count, "where the training set is small"] = 500,
    step: Annotated[Positive, "of SGD, over the sharpness at the start (diverges from 8)"] = 0.5,
    momentum: Annotated[float, "number from 0 to below 1", "of SGD"] = 0.9,
    adam_step: Annotated[Positive, "of Adam, the same for all dimensions"] = 0.01,
    image: Annotated[Size, "height and width of the images of the paper's task"] = (8, 8),
    image_sizes: Annotated[Counts, "examples to train with"] = (256, 512, 1024),
    image_hidden: Annotated[Count, "units of the fully connected net"] = 384,
    image_test_size: Annotated[Count, "test examples"] = 2000,
    image_seeds: Annotated[Count, "training sets and initial weights"] = 3,
) -> dict[str, Any]:
    """A search for each net and dimension; then the images."""
    plan = Training(batch_size, epochs, least_steps, step, momentum, adam_step)
    layer = {"channels": channels, "kernel_size": kernel_size}

    def search(d: int, net: str) -> list[dict[str, Any]]:
        make = lambda key: build(net, (d, 1), hidden=2 * d, **layer, key=key)
        sizes = {"test_size": test_size, "per_octave": per_octave, "targets": targets}
        several = range(seed, seed + seeds)
        return sizes_needed(net, d, make, plan, several, repeats=repeats[net], **sizes)

    def on_images(net: str) -> list[dict[str, Any]]:
        shape = (*image, 3)
        make = lambda key: build(net, shape, hidden=image_hidden, **layer, key=key)
        several = range(seed, seed + image_seeds)
        sizes = {"sizes": image_sizes, "test_size": image_test_size}
        return image_accuracy(shape, make, plan, several, **sizes)

    found = cells.records("search", search, d=dimensions, net=NETS)
    of = lambda run: {key: run[key] for key in ("net", "d", "seed")}
    return {
        "needed": [
            {**of(run), "target": target, "n": n}
            for run in found
            for target, n in run["sizes"].items()
        ],
        "tried": [
            {**of(run), "n": n, "test": test, "training": training}
            for run in found
            for n, test, training in run["tried"]
        ],
        "image": list(image),
        "images": cells.records("images", on_images, net=("conv", "fc_sgd")),
    }


def named(needed: Records, net: str) -> tuple[Estimate, str]:
    """The exponent of a net's n(d), and for the evidence what it is; also how many seeds did not
    get there with the most examples tried."""
    sizes = needed.where(net=net, target=TARGET)["n"]
    missing = sizes.count(None)
    ends = f" ({missing} of {len(sizes)} searches without an end)" if missing else ""
    return exponent(needed, net), f"exponent of n(d), {NETS[net]}{ends}"


def just_short(tried: Records, net: str) -> Records:
    """What a net was at the largest size that missed 95 % on test data, in each search."""
    searches = tried.where(net=net).by("d", "seed").values()
    missed = [[row for row in search if row["test"] < float(TARGET)] for search in searches]
    return Records(max(rows, key=lambda row: row["n"]) for rows in missed if rows)


@question.answer
def answer(needed: Records) -> str:
    power = {net: exponent(needed, net).mean for net in ("conv", "local", "fc_sgd")}
    return (
        f"Convolutional: as many in every dimension (n ~ d^{power['conv']:.2f}); with a kernel "
        f"for every position n ~ d^{power['local']:.2f}; fully connected, by SGD, n ~ "
        f"d^{power['fc_sgd']:.2f}."
    )


@question.claim(
    "B 10.2", "an exponent of n(d) above 0.3: n would double with each tenfold d, or grow faster"
)
def conv(needed: Records) -> Verdict:
    """A simple convolutional net learns the task to 95 % with O(1) samples."""
    found, what = named(needed, "conv")
    return lab.at_most(found, 0.3, what)


@question.claim(
    "B 10.2", "an exponent of n(d) outside 1.5 to 2.5, so that another whole power is nearer"
)
def fc(needed: Records) -> Verdict:
    """A fully connected net trained by an orthogonally equivariant algorithm, SGD from Gaussian
    weights, requires on the order of d^2 samples."""
    found, what = named(needed, "fc_sgd")
    return lab.between(found, 1.5, 2.5, what)


@question.claim("B 10.2", "a ratio, of the same seed's two nets, whose exponent is not positive")
def gap(needed: Records) -> Verdict:
    """The fully connected net needs more samples than the convolutional one by a factor that grows
    with d."""
    pairs = needed.where(net=("conv", "fc_sgd"), target=TARGET).by("d", "seed", of="n")
    ratios = [None if None in pair else pair[1] / pair[0] for pair in pairs.values()]
    what = "exponent of the ratio of n, fully connected over convolutional"
    return lab.at_least(power([d for d, _ in pairs], ratios), 0, what)


@question.claim(
    "B 10.2", "a training accuracy below 99 % at the largest training sets that did not suffice"
)
def fits(tried: Records) -> Verdict:
    """A wide fully connected net can express what the convolutional net does: short of 95 % on test
    data, it fits the training data."""
    found = lab.estimate(just_short(tried, "fc_sgd")["training"] or [math.nan])
    return lab.at_least(found, 0.99, "training accuracy just short of 95 % on test data")


@question.claim(
    "B 10.2, Problem 10.2.2", "an exponent of the locally connected net's n(d) outside 0.5 to 1.5"
)
def sharing(needed: Records) -> Verdict:
    """The shared kernel is what makes O(1) samples enough: with squares as hard-wired, the same
    local windows and the same sums over halves, but a kernel for every position, n grows like d."""
    found, what = named(needed, "local")
    return lab.between(found, 0.5, 1.5, what)


@question.claim("B 10.2; Li, Zhang and Arora, arXiv:2010.08515", "an exponent of n(d) below 1")
def adam(needed: Records) -> Verdict:
    """Adam, which is equivariant only to permutations and sign changes of the coordinates, does not
    save the fully connected net: n grows at least like d."""
    found, what = named(needed, "fc_adam")
    return lab.at_least(found, 1, what)


@question.claim(
    "arXiv:2010.08515, figure 1",
    "a number of samples at which the difference, over seeds, is not positive",
)
def images(images: Records) -> Verdict:
    """On Gaussian images labelled by which of two channels has the larger norm, a convolutional net
    is more accurate than a fully connected one at every number of samples."""
    test, what = images.pivot("n", "net", "test"), "n = {}, convolutional minus fully connected"
    margins = {n: lab.paired(of["conv"], of["fc_sgd"]) for n, of in test.items()}
    return lab.all_of(lab.at_least(e, 0, what.format(n)) for n, e in margins.items())


@question.table
def sizes(needed: Records) -> Iterator[lab.Table]:
    """Sizes by net and dimension, and exponents."""
    for target, found in needed.by("target").items():
        title = f"Training examples to reach {float(target):.0%} of test accuracy: "
        rows = [
            {"net": NETS[net], **{f"d = {d}": needed_by_seeds(n) for d, n in sorted(at.items())}}
            | {"exponent [95 % interval]": str(exponent(found, net, target))}
            for net, at in found.pivot("net", "d", "n").items()
        ]
        yield lab.Table.of(f"{title}mean ± standard deviation (seeds)", rows)


@question.table
def training(tried: Records) -> Rows:
    """Training accuracy, in %, at the largest training set that missed 95 % on test data"""
    for net, name in NETS.items():
        found = just_short(tried, net).by("d", of="training")
        yield {"net": name} | {f"d = {d}": percent(found.get(d)) for d in sorted({*tried["d"]})}


@question.table
def on_images(images: Records) -> Rows:
    """Gaussian images 3x{image[0]}x{image[1]}: which channel has the larger norm; accuracy in %"""
    for (net, n), found in images.by("net", "n").items():
        accuracies = {of: percent(found[of]) for of in ("test", "training")}
        yield {"net": NETS[net], "training examples": n, **accuracies}


@question.figure(10, 4.2, serves="gap")
def samples_needed(figure: Figure, needed: Records) -> None:
    """Examples n to reach an accuracy against the dimension d: a dot a seed, the line the fitted
    power of d; a panel for each accuracy."""
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
    figure.axes[0].set_ylabel("training examples $n$")


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


@question.figure(7.5, 4.2, serves="fits")
def learning_curves(figure: Figure, tried: Records) -> None:
    """Test and training accuracy against the number n of examples at the largest d: the fully
    connected nets fit what they are shown, and know little else."""
    axes = figure.subplots()
    largest = max(tried["d"])
    for net in NETS:
        accuracies(axes, net, tried.where(net=net, d=largest))
    axes.axhline(float(TARGET), color="grey", linewidth=0.8)
    finish(axes, f"d = {largest}: mean of the seeds that tried n examples", loc="lower right")


@question.figure(6.5, 4)
def images_(figure: Figure, images: Records) -> None:
    """Test and training accuracy on Gaussian images against the number n of examples: a dot a seed,
    the line their mean."""
    axes = figure.subplots()
    for net, found in images.by("net").items():
        accuracies(axes, net, found)
    finish(axes, "Gaussian images: the channel of larger norm")
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


main = lab.command(question)
