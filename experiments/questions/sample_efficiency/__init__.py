"""Examples needed on the task of B 10.2, by nets that share weights and nets that do not."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from experiments.sample_efficiency.nets import NETS, Training, build
from experiments.sample_efficiency.search import (
    START,
    TARGET,
    exponent,
    needed_by_seeds,
    percent,
    power,
    sizes_needed,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data.embedded import quadratic
from cnnlab.data.splits import ArraySplit
from cnnlab.lab import Cells, Count, Estimate, Positive, Records, Rows, Verdict

Dimensions = Annotated[Sequence[int], "list of at least 2 different even whole numbers >= 4"]
Targets = Annotated[Sequence[float], "list of at least 1 numbers above 0.5 to below 1"]
Repeats = Annotated[Mapping[str, Count], "mapping of conv, local, fc_sgd, fc_adam"]
COLOURS = {"conv": "tab:blue", "local": "tab:green", "fc_sgd": "tab:red", "fc_adam": "black"}
# The two fully connected nets lie on each other.
STYLES = {"conv": "-", "local": "-", "fc_sgd": "-", "fc_adam": "--"}
# Of the fully connected ones at the largest d, and as many times more as d is smaller.
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


@question.measure(full={"dimensions": [4, 6, 8, 12, 16, 24, 32, 48, 64]})
def measure(
    cells: Cells,
    *,
    seed: int,
    dimensions: Annotated[Dimensions, "of the inputs of B 10.2"] = (4, 8, 16, 32, 64),
    seeds: Annotated[Count, "searches for each net and dimension"] = 5,
    repeats: Annotated[
        Repeats, "training sets and weights behind an accuracy, at the largest d"
    ] = REPEATS,
    targets: Annotated[Targets, "test accuracies to reach"] = (0.9, 0.95),
    test_size: Annotated[Count, "test examples behind an accuracy"] = 8000,
    per_octave: Annotated[Count, "sizes of training sets between one and its double"] = 8,
    channels: Annotated[Count, "of the convolution and the locally connected layer"] = 2,
    kernel_size: Annotated[Count, "of the same"] = 3,
    batch_size: Annotated[Count, "examples in a step"] = 64,
    epochs: Annotated[Count, "passes over the training set"] = 50,
    least_steps: Annotated[Count, "where the training set is small"] = 500,
    step: Annotated[Positive, "of SGD, over the sharpness at the start (diverges from 8)"] = 0.5,
    momentum: Annotated[float, "number from 0 to below 1", "of SGD"] = 0.9,
    adam_step: Annotated[Positive, "of Adam, the same for all dimensions"] = 0.01,
) -> dict[str, Any]:
    """A search for each net and dimension."""
    plan = Training(batch_size, epochs, least_steps, step, momentum, adam_step)
    layer = {"channels": channels, "kernel_size": kernel_size}

    def search(d: int, net: str) -> list[dict[str, Any]]:
        def draw(stream: int, train_size: int, test_size: int) -> tuple[ArraySplit, ArraySplit]:
            sizes = {"train_size": train_size, "test_size": test_size, "val_fraction": 0}
            task = quadratic(dimension=d, seed=stream, **sizes)
            return task.train, task.test

        make = lambda key: build(net, (d, 1), hidden=max(32, 2 * d), **layer, key=key)
        sizes = {"test_size": test_size, "per_octave": per_octave, "targets": targets}
        # Where d is small, so are the sets, and there are lucky ones among them.
        times = max(dimensions) // d if net.startswith("fc") else 1
        how = {"start": START[net](d), "repeats": times * repeats[net], "adam": net == "fc_adam"}
        return sizes_needed(draw, make, plan, range(seed, seed + seeds), **how, **sizes)

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
        "per_octave": per_octave,
    }


def named(needed: Records, net: str, per_octave: int) -> tuple[Estimate, str]:
    """The exponent of a net's n(d), and for the evidence what it is; also how many seeds did not
    get there with the most examples tried."""
    sizes = needed.where(net=net, target=TARGET)["n"]
    missing = sizes.count(None)
    ends = f" ({missing} of {len(sizes)} searches without an end)" if missing else ""
    return exponent(needed, net, per_octave), f"exponent of n(d), {NETS[net]}{ends}"


def just_short(tried: Records, net: str) -> Records:
    """What a net was at the largest size that missed 95 % on test data, in each search."""
    searches = tried.where(net=net).by("d", "seed").values()
    missed = [[row for row in search if row["test"] < float(TARGET)] for search in searches]
    return Records(max(rows, key=lambda row: row["n"]) for rows in missed if rows)


@question.answer
def answer(needed: Records, per_octave: int) -> str:
    power = {net: exponent(needed, net, per_octave).mean for net in ("conv", "local", "fc_sgd")}
    return (
        f"Convolutional: as many in every dimension (n ~ d^{power['conv']:.2f}); with a kernel "
        f"for every position n ~ d^{power['local']:.2f}; fully connected, by SGD, n ~ "
        f"d^{power['fc_sgd']:.2f}."
    )


@question.claim(
    "B 10.2", "an exponent of n(d) above 0.3: n would double with each tenfold d, or grow faster"
)
def conv(needed: Records, per_octave: int) -> Verdict:
    """A simple convolutional net learns the task to 95 % with O(1) samples."""
    found, what = named(needed, "conv", per_octave)
    return lab.at_most(found, 0.3, what)


@question.claim(
    "B 10.2", "an exponent of n(d) outside 1.5 to 2.5, so that another whole power is nearer"
)
def fc(needed: Records, per_octave: int) -> Verdict:
    """A fully connected net trained by an orthogonally equivariant algorithm, SGD from Gaussian
    weights, requires on the order of d^2 samples."""
    found, what = named(needed, "fc_sgd", per_octave)
    return lab.between(found, 1.5, 2.5, what)


@question.claim(
    "B 10.2", "an exponent of n(d) nearer to 2 than to that of d (d + 1) / 2 over the same d"
)
def parameters(needed: Records, per_octave: int) -> Verdict:
    """Of two laws the number of parameters of a symmetric form x' A x, d (d + 1) / 2, is nearer to
    what the fully connected net needs than d^2 is."""
    found, what = named(needed, "fc_sgd", per_octave)
    forms = power(d := sorted({*needed["d"]}), [parameters_of_forms(x) for x in d]).mean
    return lab.at_most(found, (forms + 2) / 2, f"{what}; of d (d + 1) / 2: {forms:.4g}, of d^2: 2")


def parameters_of_forms(d: int) -> int:
    """Of the symmetric forms in d variables."""
    return d * (d + 1) // 2


@question.claim("B 10.2", "a ratio, of the same seed's two nets, whose exponent is not positive")
def gap(needed: Records, per_octave: int) -> Verdict:
    """The fully connected net needs more samples than the convolutional one by a factor that grows
    with d."""
    pairs = needed.where(net=("conv", "fc_sgd"), target=TARGET).by("d", "seed", of="n")
    ratios = [None if None in pair else pair[1] / pair[0] for pair in pairs.values()]
    what = "exponent of the ratio of n, fully connected over convolutional"
    # A step of the grid too large may be the one or the other: two steps between the two ends.
    return lab.at_least(power([d for d, _ in pairs], ratios, per_octave / 2), 0, what)


@question.claim(
    "B 10.2", "a training accuracy below 99 % at the largest training sets that did not suffice"
)
def fits(tried: Records) -> Verdict:
    """It is not for want of parameters that a wide fully connected net, which can express what the
    convolutional net does, needs more: short of 95 % on test data, it fits the training data."""
    found = lab.estimate(just_short(tried, "fc_sgd")["training"] or [math.nan])
    return lab.at_least(found, 0.99, "training accuracy just short of 95 % on test data")


@question.claim(
    "B 10.2, Problem 10.2.2", "an exponent of the locally connected net's n(d) outside 0.5 to 1.5"
)
def sharing(needed: Records, per_octave: int) -> Verdict:
    """The shared kernel is what makes O(1) samples enough: with squares as hard-wired, the same
    local windows and the same sums over halves, but a kernel for every position, n grows like d."""
    found, what = named(needed, "local", per_octave)
    return lab.between(found, 0.5, 1.5, what)


@question.claim("B 10.2; Li, Zhang and Arora, arXiv:2010.08515", "an exponent of n(d) below 1")
def adam(needed: Records, per_octave: int) -> Verdict:
    """Adam, which is equivariant only to permutations and sign changes of the coordinates, does not
    save the fully connected net: n grows at least like d."""
    found, what = named(needed, "fc_adam", per_octave)
    return lab.at_least(found, 1, what)


@question.table
def sizes(needed: Records, per_octave: int) -> Iterator[lab.Table]:
    """Sizes by net and dimension, and exponents; their intervals include a step of the grid."""
    for target, found in needed.by("target").items():
        title = f"Training examples to reach {float(target):.0%} of test accuracy: "
        rows = [
            {"net": NETS[net], **{f"d = {d}": needed_by_seeds(n) for d, n in sorted(at.items())}}
            | {"exponent [95 % interval]": str(exponent(found, net, per_octave, target))}
            for net, at in found.pivot("net", "d", "n").items()
        ]
        yield lab.Table.of(f"{title}mean ± standard deviation (seeds)", rows)


@question.table
def laws(needed: Records) -> Rows:
    """Training examples of the fully connected net by SGD for 95 %, over two laws"""
    for what, law in (("d (d + 1) / 2", parameters_of_forms), ("d^2", lambda d: d * d)):
        found = needed.where(lambda row: row["n"] is not None, net="fc_sgd", target=TARGET)
        over = {d: [n / law(d) for n in of] for d, of in sorted(found.by("d", of="n").items())}
        yield {"n over": what} | {f"d = {d}": f"{lab.estimate(of):.2f}" for d, of in over.items()}


@question.table
def training(tried: Records) -> Rows:
    """Training accuracy, in %, at the largest training set that missed 95 % on test data"""
    for net, name in NETS.items():
        found = just_short(tried, net).by("d", of="training")
        yield {"net": name} | {f"d = {d}": percent(found.get(d)) for d in sorted({*tried["d"]})}


@question.figure(10, 4.2, serves="gap")
def samples_needed(figure: Figure, needed: Records, per_octave: int) -> None:
    """Examples n to reach an accuracy against the dimension d: a dot a seed, the line the fitted
    power of d; a panel for each accuracy."""
    for target, axes in by_target(figure, needed).items():
        for net, name in NETS.items():
            found = needed.where(lambda row: row["n"] is not None, net=net, target=target)
            if not found:
                continue
            power = exponent(needed, net, per_octave, target).mean
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
        plot_accuracies(axes, tried.where(net=net, d=largest), NETS[net], COLOURS[net], STYLES[net])
    axes.axhline(float(TARGET), color="grey", linewidth=0.8)
    title = f"d = {largest}: mean of the seeds that tried n examples"
    against_examples(axes, title, loc="lower right")


def plot_accuracies(axes: Axes, found: Records, name: str, colour: str, style: str = "-") -> None:
    """A net's means over seeds, and a dot for each on test data."""
    axes.plot(found["n"], found["test"], ".", color=colour)
    for of, line, label in (("test", style, name), ("training", ":", None)):
        at = dict(sorted(found.by("n", of=of).items()))
        lab.curve(axes, at, line, color=colour, label=label)


def against_examples(axes: Axes, title: str, **legend: Any) -> None:
    """The axes of learning curves."""
    axes.plot([], [], ":", color="grey", label="on the training examples")
    axes.set(xscale="log", xlabel="training examples n", ylabel="accuracy", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, **legend)


main = lab.command(question)
