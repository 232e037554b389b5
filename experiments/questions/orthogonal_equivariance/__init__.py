"""Orthogonal equivariance (B 10.2, Problem 10.2.1): does a rotation of the data rotate what is
learned?

The problem's answer, for a first layer `z = W x` and an orthogonal `R`, whatever its determinant.
Let `l(W, theta; x)` be the loss of an example, `theta` all other parameters. The network sees `x`
through `W x` alone, and `(W R^T)(R x) = W x`, so that

    l(W R^T, theta; R x) = l(W, theta; x)                                                   (1)

With `g = dl/dz`, the gradient in `W` is `g x^T`; at `W R^T`, on `R x`, it is `g (R x)^T =
(g x^T) R^T`: rotated as `W` is. The gradients in `theta` are the same by (1). An update that is a
sum of such terms with factors that a rotation leaves alone (the rate, momentum, a decay
`W -> (1 - a) W`) therefore keeps `(W R^T, theta)` rotated from one step to the next, and the two
functions learned are `f` and `f_R` with `f_R(R x) = f(x)`. So does Muon's, a polynomial `p(G)` with
`p(G R^T) = p(G) R^T`. Adam divides each coordinate by a scale of its own, which a rotation changes.

If the start is random with independent Gaussian entries, `W R^T` is distributed as `W`: then what
is learned from rotated data has the distribution of the rotated function, without a rotated start.
"""

import math
from typing import Annotated, Any

import numpy as np
from experiments.orthogonal_equivariance import figures
from experiments.orthogonal_equivariance.networks import (
    ARMS,
    CONVOLUTIONAL_ARM,
    DENSE_ARM,
    EQUIVARIANT,
    ROUNDING,
    TRAININGS,
    Task,
    Training,
    compare,
    gradient_error,
    random_starts,
)
from experiments.orthogonal_equivariance.samples import (
    against_original,
    ks_tests,
    lost,
    smallest_p,
)

from cnnlab import lab
from cnnlab.analysis.rotations import random_orthogonal
from cnnlab.data import Dataset
from cnnlab.lab import Cells, Count, Counts, Plan, Records, Rows, Verdict

Several = Annotated[int, "whole number >= 2"]
# What float32 rounds off is 2^29 times as much. A difference that is not rounding is the same in
# both precisions: a ratio of 1.
PRECISIONS = 1e4
# A hundredth of the function, or of the test examples: less is no difference worth the name.
SMALL = 0.01
# Where float32's rounding has grown as large as the function it grows no more, nor does the ratio.
MAGNIFIED = 1e2

question = lab.Question(
    "orthogonal_equivariance",
    "Does a rotation of the data rotate what a network learns?",
    note="The chapter says it of most standard algorithms and leaves open of which. It holds, to "
    "rounding and for both determinants, for gradient descent, SGD, momentum and weight decay; "
    "for Muon, but for its magnified rounding; not for Adam. Without a rotated start it holds in "
    "distribution only: the same start gives another function on rotated data. Rates are given, "
    "the same on all data; none is tuned.",
)


@question.measure(
    groups={"data": "mnist1d"},
    full={"seeds": 6, "starts": 100, "convolutions": 30, "rotations": 4, "inputs": 20},
)
def measure(
    cells: Cells,
    *,
    seed: int,
    data: Dataset,
    train_size: Annotated[Count, "at most so many training examples"] = 4000,
    test_size: Annotated[Count, "and test examples"] = 1000,
    widths: Annotated[Counts, "of the fully connected network"] = (64, 64),
    plan: Annotated[Plan, "of the convolutional one; M: stride 2"] = (16, "M", 32, "M"),
    kernel_size: Count = 5,
    steps: Annotated[Count, "of every training"] = 400,
    batch_size: Annotated[Count, "except for gradient descent, which takes all examples"] = 64,
    seeds: Annotated[Count, "networks with rotated starts, on a rotation and a reflection"] = 3,
    descent_size: Annotated[Count, "there, at most so many training examples"] = 256,
    starts: Annotated[Several, "random ones on the data, and as many on the rotated data"] = 80,
    convolutions: Annotated[Several, "the same, of the convolutional network"] = 20,
    rotations: Annotated[Count, "of those data, with determinants 1, -1, 1, ..."] = 2,
    inputs: Annotated[Count, "test inputs whose margins are compared"] = 5,
) -> dict[str, Any]:
    """Gradients; trainings from rotated starts; the distribution over random starts. A rotation
    turns a whole input, written as a vector."""
    task = Task.of(data, train_size, test_size)
    few = task._replace(x=task.x[:descent_size], y=task.y[:descent_size])
    how = Training(tuple(widths), tuple(plan), kernel_size, steps, batch_size)
    bases = {"original": task}
    for i in range(rotations):
        rng = np.random.default_rng([seed, 5, i])
        r = random_orthogonal(rng, 1, task.size, determinant=(-1) ** i)[0]
        bases[f"rotation {i}"] = task.rotated(r)
    many = {DENSE_ARM: starts, CONVOLUTIONAL_ARM: convolutions}

    def learned(arm: str, basis: str) -> list[dict[str, Any]]:
        stream = list(bases).index(basis)
        return random_starts(arm, how, bases[basis], seed, stream, starts=many[arm], inputs=inputs)

    errors = lambda seed: gradient_error(how, few, seed)
    gaps = lambda training, seed: compare(training, how, few, seed)

    def early(training: str, steps: int, seed: int) -> list[dict[str, Any]]:
        return compare(training, how._replace(steps=steps), few, seed)

    several, parts = range(seed, seed + seeds), sorted({max(1, steps // n) for n in (8, 4, 2)})
    before = cells.records("early gaps", early, training=EQUIVARIANT, steps=parts, seed=several)
    trainings = cells.records("gaps", gaps, training=TRAININGS, seed=several)
    last = ({**row, "steps": steps} for row in trainings.where(training=EQUIVARIANT))
    return {
        "gradients": cells.records("gradient", errors, seed=several),
        "trainings": trainings,
        "growth": [*before, *last],
        "learned": cells.records("learned", learned, arm=ARMS, basis=bases),
        "baseline": 100 * cells.get("logistic regression", lambda: lab.logistic_regression(data)),
    }


@question.learnt
def learnt(learned: Records, baseline: float) -> dict[str, Verdict]:
    """From random starts, on the original data."""
    shares = learned.where(basis="original").by("arm", of="accuracy")
    found = {arm: lab.estimate(lab.percent(of)) for arm, of in shares.items()}
    return lab.beats(found, baseline)


def precise(trainings: Records, *names: str, ratio: float = PRECISIONS) -> Verdict:
    """What is rounding shrinks with the precision: the smallest ratio of the two gaps."""
    rows = trainings.where(training=names)
    least = min(row["float32"] / max(row["float64"], 1e-300) for row in rows)
    return lab.at_least(least, ratio, "smallest gap ratio float32/float64")


def rounding(trainings: Records, name: str) -> Verdict:
    largest = max(trainings.where(training=name)["float64"])
    return lab.at_most(largest, ROUNDING, f"{name}: largest gap")


def far(trainings: Records, name: str) -> Verdict:
    gap = lab.estimate(by_seed(trainings, name, "float64"))
    return lab.at_least(gap, SMALL, f"{name}: ||f_R(R x) - f(x)|| / ||f||")


def by_seed(trainings: Records, name: str, of: str) -> list[float]:
    """Means over the rotation and the reflection of a network, which share its start."""
    values = trainings.where(training=name).by("seed", of=of).values()
    return [sum(pair) / len(pair) for pair in values]


def exponent(growth: Records, name: str) -> lab.Estimate:
    """Of the number of steps, in the gap; over steps and seeds."""
    rows = growth.where(training=name).by("steps", "seed", of="float64")
    gaps = [max(sum(pair) / len(pair), 1e-18) for pair in rows.values()]
    return lab.slope([math.log(steps) for steps, _ in rows], [math.log(gap) for gap in gaps])


@question.answer
def answer(trainings: Records, learned: Records) -> str:
    largest = max(trainings.where(training=EQUIVARIANT)["float64"])
    pairs = against_original(learned, CONVOLUTIONAL_ARM).values()
    less = 100 * max(lost(*pair).mean for pair in pairs)
    return (
        f"A fully connected one's, by SGD, to {largest:.0e} from the rotated start; Adam's not. A "
        f"convolutional net loses {less:.0f} points of accuracy on rotated data."
    )


@question.claim(
    "B 10.2, Problem 10.2.1", "a relative difference beyond rounding (1e-12 in float64)"
)
def gradient(gradients: Records) -> Verdict:
    """If a rotation R is applied to every input, the loss l(x) becomes l(Rx): from first-layer
    weights W R^T, its gradient is the rotated gradient G R^T, and all others are unchanged."""
    largest = max(gradients["largest"])
    return lab.at_most(largest, 1e-12, "largest relative difference of a gradient")


@question.claim(
    "B 10.2", "f_R(Rx) and f(x) differ by more than rounding, or as much in float32 as in float64"
)
def equivariant(trainings: Records) -> Verdict:
    """Training on a rotated dataset yields a rotated version of the function learned on the
    original dataset: gradient descent, SGD, momentum and weight decay, from the rotated start."""
    gaps = (rounding(trainings, name) for name in EQUIVARIANT)
    return lab.all_of(gaps, precise(trainings, *EQUIVARIANT))


@question.claim("B 10.2", "a gap that grows faster than the number of steps")
def adds_up(growth: Records) -> Verdict:
    """What is left of the difference is rounding, which adds up from step to step: in proportion to
    their number, or more slowly."""
    what = "{}: exponent of the number of steps in the gap".format
    return lab.all_of(lab.at_most(exponent(growth, n), 1.0, what(n)) for n in EQUIVARIANT)


@question.claim(
    "B 10.2, of an algorithm that it does not name",
    f"f_R(Rx) and f(x) that differ by {SMALL:.0%} of f in float64, or are less than "
    f"{MAGNIFIED:.0e} times as close as in float32",
)
def muon(trainings: Records) -> Verdict:
    """Muon is orthogonally equivariant, too: p(G R^T) = p(G) R^T. It magnifies rounding errors, for
    it makes small singular values of G as large as the others; but the difference is no more."""
    largest = max(trainings.where(training="Muon")["float64"])
    close = lab.at_most(largest, SMALL, "Muon: largest gap in float64")
    return lab.all_of(close, precise(trainings, "Muon", ratio=MAGNIFIED))


@question.claim(
    "B 10.2", "with Adam, f_R(Rx) and f(x) differ by more than rounding", instead="equivariant"
)
def every_algorithm(trainings: Records) -> Verdict:
    """Most standard training algorithms for FC nets are orthogonally equivariant, read as: Adam,
    too, the most used of them."""
    return rounding(trainings, "Adam")


@question.claim("B 10.2", f"f_R(Rx) and f(x) differ by less than {SMALL:.0%} of f")
def adam(trainings: Records) -> Verdict:
    """Adam, which scales each coordinate by itself, is not orthogonally equivariant: from the
    rotated start it learns another function."""
    return far(trainings, "Adam")


@question.claim(
    "B 10.2",
    f"a first layer that comes within {SMALL:.0%} of the rotated one, or functions that do",
)
def convolution(trainings: Records) -> Verdict:
    """The ConvNet breaks this symmetry: no start makes a convolution do on Rx what it did on x, and
    SGD from the nearest start learns another function."""
    nearest = "convolution, nearest start"
    missing = lab.estimate(by_seed(trainings, nearest, "missing"))
    return lab.all_of(
        lab.at_least(missing, SMALL, "first layer's missing share"), far(trainings, nearest)
    )


@question.claim(
    "B 10.2",
    f"mean test accuracies {SMALL:.0%} or more apart, or one of the Kolmogorov-Smirnov tests "
    "(accuracy, loss, margins) that rejects at 5 % for all of them together",
)
def distribution(learned: Records) -> Verdict:
    """SGD with random Gaussian initialization has the symmetry: over random starts, none of them
    rotated, an FC net learns as well from rotated data, and the same distribution of functions."""
    pairs = against_original(learned, DENSE_ARM)
    tests = [test for pair in pairs.values() for test in ks_tests(*pair)]
    apart = (
        lab.between(lost(*pair), -SMALL, SMALL, f"accuracy lost, {basis}")
        for basis, pair in pairs.items()
    )
    what = "smallest p-value times the number of tests"
    return lab.all_of(apart, lab.at_least(smallest_p(tests), 0.05, what))


@question.claim("B 10.2", f"a mean test accuracy on rotated data that is not {SMALL:.0%} lower")
def worse(learned: Records) -> Verdict:
    """A ConvNet has an inherent preference for the coordinate basis: it learns less from rotated
    data."""
    pairs = against_original(learned, CONVOLUTIONAL_ARM).items()
    return lab.all_of(
        lab.at_least(lost(*pair), SMALL, f"accuracy lost, {basis}") for basis, pair in pairs
    )


@question.table
def rotated_starts(trainings: Records) -> Rows:
    """From a rotated start"""
    for name, rows in trainings.by("training").items():
        kind, _, start = TRAININGS[name]
        fine, coarse, equal = (lab.estimate(rows[of]) for of in ("float64", "float32", "equal"))
        yield {
            "training": name, "network": kind, "start": start, "gap, float64": f"{fine.mean:.2g}",
            "largest": f"{max(rows['float64']):.2g}", "gap, float32": f"{coarse.mean:.2g}",
            "same decisions": f"{equal.mean:.1%}", "n": equal.n,
        }  # fmt: skip


@question.table
def random_bases(learned: Records) -> Rows:
    """From random starts"""
    for arm in ARMS:
        for basis, pair in against_original(learned, arm).items():
            before, after = (lab.estimate(of["accuracy"]) for of in pair)
            change, tests = lost(*pair), ks_tests(*pair)
            yield {
                "training": arm, "data": basis, "accuracy, original": f"{before:.1%}",
                "rotated": f"{after:.1%}",
                "lost [95 %]": f"{change.mean:.2%} [{change.low:.2%}, {change.high:.2%}]",
                "KS distance of accuracies": f"{tests[0].statistic:.2f}",
                "smallest p x tests": f"{smallest_p(tests):.2g}", "n": change.n,
            }  # fmt: skip


question.figure(9, 4)(figures.gaps)
question.figure(9, 3.6, serves="worse")(figures.distributions)
question.figure(6, 3.6, serves="adds_up")(figures.growth)

main = lab.command(question)
