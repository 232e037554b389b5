"""How much more data does an MLP need in practice? (B 10.1, 10.2)"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated, Any

import numpy as np
from experiments.data_needed.distance import Curve, curve, further, images
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.data import Dataset
from cnnlab.lab import (
    Cells,
    Count,
    Counts,
    Limit,
    Plan,
    Rates,
    Records,
    Sizes,
    Study,
    Verdict,
    Widths,
)

MLP, LOCAL, CONV, SEPARABLE = "MLP", "locally connected", "convolutional", "separable"
CONVOLUTIONS = {LOCAL: "locally_connected", CONV: "dense", SEPARABLE: "depthwise_separable"}
NETWORKS = (MLP, *CONVOLUTIONS)
COMPARED = ((MLP, CONV), (MLP, LOCAL), (LOCAL, CONV), (SEPARABLE, CONV))
# Of n: "as many" is within half a doubling, and the intervals are to be as narrow.
HALF = 0.5
RATES = (2e-3, 6e-3, 2e-2)
Shares = Annotated[Sequence[float], "list of at least 1 different numbers from 0 to below 1"]

question = lab.Question(
    "data_needed",
    "How much more data does an MLP need in practice?",
    note="The chapter's bound is of a task made for it; here it is images of clothes. A network is "
    "trained with n of them, others for each seed, at the learning rate that is best for it on "
    "validation images, with as many training images or the nearest number that is tried; an MLP "
    "has a dropout to choose, too. The others differ in their convolution alone: 3x3, maxima of "
    "2x2 windows, a linear layer on the flattened maps. What a network needs at equal accuracy is "
    "read off its curve, and judged in doublings of n, in the mean over the accuracies that both "
    "networks have. The intervals of doublings are for other training images and weights; the "
    "test images are the same.",
)


@question.check
def check(sizes: Sequence[int], batch_size: int) -> None:
    """There is a batch of the smallest number of images."""
    if sizes[0] < batch_size:
        raise ConfigError(f"sizes[0]: expected at least batch_size={batch_size}, got {sizes[0]}")


@question.measure(
    groups={"data": "fashion_mnist"},
    full={
        "sizes": [100, 300, 1000, 3000, 10_000, 30_000, 57_000], "tuned": [300, 3000, 30_000],
        "seeds": 8, "most_seeds": 8,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    sizes: Annotated[Sizes, "training images"] = (100, 300, 1000, 3000, 10_000),
    tuned: Annotated[Counts, "training images to choose rates with; others have the nearest"] = (
        1000,
    ),
    plan: Annotated[Plan, "of the networks that are not an MLP"] = (8, "M", 16, "M"),
    widths: Annotated[Widths, "of the MLP"] = (256, 256),
    dropouts: Annotated[Shares, "of the MLP: the one that is best for it"] = (0.0, 0.3),
    seeds: Annotated[Count, "networks of each kind and n, and more while intervals are wide"] = 3,
    most_seeds: Annotated[Count, "but no more than these"] = 4,
    limit_eval: Annotated[Limit, "validation and test images"] = 3000,
    steps: Annotated[Count, "batches, at least"] = 300,
    epochs: Annotated[Count, "over the training images, at least"] = 5,
    batch_size: Count = 64,
    rates: Annotated[Rates, "Adam's: each network has the one that is best for it"] = RATES,
) -> dict[str, Any]:
    """Which test images each network has right, trained with each number of images."""
    if sizes[-1] > len(data.train):
        raise ConfigError(f"sizes: expected up to {len(data.train):,}, got {sizes[-1]:,}")

    def settings(network: str, n: int) -> dict[str, Any]:
        kind: dict[str, Any] = {"backbone": "mlp", "backbone.widths": widths}
        if network != MLP:
            kind = {"backbone.plan": plan, "conv": CONVOLUTIONS[network], "head.pool": "flatten"}
        return {
            **kind, "optimizer": "adam", "schedule": "onecycle", "batch_size": batch_size,
            "steps": max(steps, math.ceil(epochs * n / batch_size)), "limit_eval": limit_eval,
        }  # fmt: skip

    def best(network: str, n: int) -> dict[str, float]:
        """The learning rate, and the MLP's dropout, that are best on validation images."""
        options = {"optimizer.lr": rates}
        if network == MLP:
            options |= {"backbone.dropout": dropouts}
        choices = [dict(zip(options, of, strict=True)) for of in product(*options.values())]
        examples = some(data, n, seed + 10_000)

        def score(choice: dict[str, float]) -> float:
            study = Study(settings(network, n) | choice, data=examples)
            return study.validation(study.train(seed + 10_000))

        return max(choices, key=score)

    @functools.cache
    def study(network: str, n: int) -> Study:
        near = min(tuned, key=lambda size: abs(math.log(size / n)))
        choice = cells.get(f"best: {network}, {near}", lambda: best(network, near))
        return Study(settings(network, n) | choice, data=some(data, n, seed))

    def tested(seed: int, network: str, n: int) -> dict[str, Any]:
        of = study(network, n)
        found = of.evaluate(of.train(seed, examples=some(data, n, seed).train))
        right = lab.pack(found.predicted == found.label)
        return {"right": right, "accuracy": 100 * found.accuracy, "parameters": of.parameters}

    def linear(n: int) -> float:
        """Logistic regression on the images of the first seed."""
        return 100 * lab.logistic_regression(study(MLP, n).data)

    narrow = lambda found: all(doublings(found, *pair).narrow(HALF) for pair in COMPARED)
    several = {"first": seed, "least": seeds, "most": most_seeds}
    return {
        "runs": cells.seeds("tested", tested, narrow, **several, network=NETWORKS, n=sizes),
        "baselines": cells.records("accuracy", linear, n=sizes),
    }


def some(data: Dataset, n: int, seed: int) -> Dataset:
    """With n of the training images, others for each seed; more of them have the fewer among
    them."""
    there = np.random.default_rng(seed).permutation(len(data.train))[:n]
    return dataclasses.replace(data, train=data.train.select(there))


def pairs(runs: Records, *networks: str) -> Iterator[tuple[Curve, ...]]:
    """The curves of some networks, seed by seed."""
    for of in runs.by("seed").values():
        found = (of.where(network=network) for network in networks)
        yield tuple(curve(dict(zip(one["n"], one["accuracy"], strict=True))) for one in found)


def doublings(runs: Records, network: str, than: str) -> lab.Estimate:
    """By how many doublings of n a network needs more images than another, paired by seed."""
    return lab.estimate([further(a, b) for a, b in pairs(runs, network, than)])


def at_best(runs: Records) -> lab.Estimate:
    """The same of an MLP and a convolutional network, at the accuracy that the MLP has with the
    most images."""
    ends = ((mlp[0][-1], mlp[1][-1], conv) for mlp, conv in pairs(runs, MLP, CONV))
    return lab.estimate([n - float(np.interp(best, *conv)) for best, n, conv in ends])


def with_most(runs: Records, network: str) -> list[str]:
    """Which test images its networks of the most training images have right."""
    return runs.where(network=network, n=max(runs["n"]))["right"]


@question.learnt
def learnt(runs: Records, baselines: Records) -> dict[str, Verdict]:
    most = max(runs["n"])
    found = runs.where(n=most).by("network", of="accuracy")
    [baseline] = baselines.where(n=most)["accuracy"]
    return lab.beats({network: lab.estimate(of) for network, of in found.items()}, baseline)


def factor(runs: Records, network: str, than: str) -> tuple[float, ...]:
    """So many times as many images: the ends of the interval, and between them the mean."""
    e = doublings(runs, network, than)
    return tuple(2.0**power for power in (e.low, e.mean, e.high))


@question.answer
def answer(runs: Records) -> str:
    low, mean, high = factor(runs, MLP, CONV)
    return (
        f"At equal accuracy an MLP needs {mean:.1f} times as many images as a convolutional "
        f"network (95 % interval {low:.1f} to {high:.1f}), and for what it does with "
        f"{max(runs['n']):,} of them {2.0 ** at_best(runs).mean:.1f} times; as a locally connected "
        f"one {factor(runs, MLP, LOCAL)[1]:.1f} times."
    )


def more(runs: Records, network: str, than: str, least: float) -> Verdict:
    what = f"doublings of n that {network} needs more than {than}"
    return lab.at_least(doublings(runs, network, than), least, what)


@question.claim(
    "B 10.2",
    "an MLP that needs less than twice as many images",
    arms=(MLP, CONV),
    instead="most",
)
def less(runs: Records) -> Verdict:
    """ "In practice (especially for vision and audio-processing tasks) they are able to learn with
    much less data": a convolutional net is as accurate as an MLP with half as many images, or
    fewer."""
    return more(runs, MLP, CONV, 1.0)


@question.claim("B 10.2", "a convolutional net that needs more than half of them", arms=(MLP, CONV))
def most(runs: Records) -> Verdict:
    """With "much less data" a convolutional net is as accurate as the MLP is with the most images:
    with half as many, or fewer."""
    what = f"doublings of n that an MLP of {max(runs['n']):,} images needs more than {CONV}"
    return lab.at_least(at_best(runs), 1.0, what)


@question.claim("B 10.2", "an MLP that needs less than ten times as many", arms=(MLP, CONV))
def vastly(runs: Records) -> Verdict:
    """Fully-connected nets "struggle with image tasks in practice, requiring vastly more data for
    similar performance": ten times as many images, or more."""
    return more(runs, MLP, CONV, math.log2(10))


@question.claim("B 10.2", "an MLP that is ahead with the most images", arms=(MLP, CONV))
def struggle(runs: Records) -> Verdict:
    """They "struggle" with many images as with few: with the most, an MLP is behind a convolutional
    net."""
    points = lab.lead(with_most(runs, CONV), with_most(runs, MLP))
    return lab.at_least(points, 0.0, f"convolutional - MLP in points, n = {max(runs['n']):,}")


@question.claim("B 10.1", "an MLP that needs fewer images", arms=(MLP, LOCAL))
def locality(runs: Records) -> Verdict:
    """An MLP "must learn from scratch that pixels nearby are more related than pixels far apart":
    it needs more images than a network of local layers that share nothing."""
    return more(runs, MLP, LOCAL, 0.0)


@question.claim("B 10.1", "a locally connected network that needs fewer", arms=(LOCAL, CONV))
def equivariance(runs: Records) -> Verdict:
    """Of the "two powerful priors: locality and translation equivariance" the second saves data,
    too: local layers that share nothing need more images than convolutions."""
    return more(runs, LOCAL, CONV, 0.0)


@question.claim(
    "A 5.2, 5.3", "a separable one that needs 1.4 times as many, or more", arms=(SEPARABLE, CONV)
)
def separable(runs: Records) -> Verdict:
    """Such variants "reduce compute and parameters while retaining spatial modeling", read as:
    separable convolutions need as many images as dense ones, or fewer, within half a doubling."""
    what = "doublings of n that separable needs more than convolutional"
    return lab.at_most(doublings(runs, SEPARABLE, CONV), HALF, what)


@question.table
def accuracies(runs: Records, baselines: Records) -> lab.Rows:
    """Test accuracy in % by the number of training images, mean ± deviation"""
    for network, found in runs.by("network").items():
        by_size = found.by("n", of="accuracy")
        means = {f"{n:,}": f"{lab.estimate(of):.1f}" for n, of in by_size.items()}
        size, seeds = f"{found['parameters'][0]:,}", len(found.by("seed"))
        yield {"network": network, "parameters": size, **means, "seeds": seeds}
    linear = {f"{row['n']:,}": f"{row['accuracy']:.1f}" for row in baselines}
    yield {"network": "logistic regression", "parameters": "", **linear, "seeds": 1}


@question.table
def factors(runs: Records) -> lab.Rows:
    """Training images over those of another network, at equal accuracy (95 % interval)"""
    for network, than in COMPARED:
        low, mean, high = factor(runs, network, than)
        found = {"factor": f"{mean:.2f}", "interval": f"{low:.2f} to {high:.2f}"}
        yield {"network": network, "over": than, **found}


@question.table
def needed(runs: Records) -> lab.Rows:
    """Training images for the mean accuracy that the MLP has with so many"""
    mean = lambda of: {n: lab.estimate(found).mean for n, found in of.items()}
    curves = {
        of: curve(mean(rows.by("n", of="accuracy"))) for of, rows in runs.by("network").items()
    }
    for accuracy, n in zip(*curves[MLP], strict=True):
        found = {network: images(accuracy, curves[network]) for network in CONVOLUTIONS}
        yield {"MLP": f"{2**n:,.0f}", "accuracy, %": f"{accuracy:.1f}", **found}


@question.figure(6, 4)
def curves(figure: Figure, runs: Records, baselines: Records) -> None:
    """Test accuracy against the number of training images; mean, lowest and highest of the seeds,
    and logistic regression in grey."""
    axes = figure.subplots()
    for network, found in runs.by("network").items():
        lab.curve(axes, found.by("n", of="accuracy"), spread="range", ms=4, label=network)
    axes.plot(baselines["n"], baselines["accuracy"], "--", color="grey", lw=1)
    lab.log_axes(axes, x=sorted({*runs["n"]}))
    axes.set(xlabel="training images", ylabel="test accuracy, %")
    axes.legend()


main = lab.command(question)
