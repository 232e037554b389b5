"""A 4.2: a stack of linear convolutions as a single one, and what nonlinearities change."""

import functools
from typing import Annotated, Any

import numpy as np
from experiments.linear_collapse.stacks import (
    PICTURE,
    against_composed,
    random_case,
    two_matrices,
    uneven_diagonals,
    with_relu,
)
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.analysis.composition import collapse
from cnnlab.lab import Cells, Count, DataSet, Plan, Positive, Records, Rows, Study, Verdict

ACTIVATIONS = {"relu": "ReLU", "identity": "none (linear)"}

question = lab.Question(
    "linear_collapse",
    "Is a stack of linear convolutions a single convolution?",
    note="As printed the claim is loose: with zero padding a stack is not a single convolution, as "
    "the maps in the middle are cut off at the border, where a larger kernel would see on. It is "
    "exact without padding and with circular padding, and everywhere far enough from the border. "
    "Both kinds of networks are trained with one learning rate.",
)


@question.measure(full={"stacks": 200, "steps": 1500, "seeds": 10})
def measure(
    cells: Cells,
    *,
    seed: int,
    stacks: Annotated[
        Count, "random stacks of integer kernels: compared exactly with the composed one"
    ] = 60,
    dataset: Annotated[DataSet, "what the networks learn"] = "fashion_mnist",
    plan: Annotated[
        Plan, "of the trained stacks; M: the convolution before it has stride 2 (A 4.7)"
    ] = (16, "M", 32, "M", 64),
    kernel_size: Count = 3,
    steps: Annotated[Count, "of training"] = 300,
    batch_size: Count = 128,
    lr: Annotated[Positive, "of Adam"] = 0.003,
    seeds: Annotated[int, "whole number >= 2", "networks of each kind"] = 5,
) -> dict[str, Any]:
    """Networks with and without ReLUs; random stacks against their composed kernels."""
    settings = {
        "backbone": "vgg", "backbone.plan": plan, "backbone.pool": "stride",
        "backbone.kernel_size": kernel_size, "conv.padding": "VALID", "norm": "none",
        "head": "linear", "head.pool": "flatten", "data": dataset, "optimizer": "adam",
        "optimizer.lr": lr, "epochs": None, "steps": steps, "batch_size": batch_size,
    }  # fmt: skip
    study = functools.cache(lambda kind: Study({**settings, "backbone.activation": kind}))
    network = lambda activation, seed: accuracies(study(activation), seed)
    draw = lambda kind, stack: np.random.default_rng([seed, kind, stack])
    against = lambda stack: against_composed(*random_case(draw(0, stack)))
    relu = lambda stack: with_relu(*random_case(draw(0, stack)))
    uneven = lambda stack: uneven_diagonals(draw(1, stack))
    several, some = range(seed, seed + seeds), range(stacks)
    baseline = lambda: lab.logistic_regression(lab.read_data({"data": dataset}))
    return {
        "baseline": 100 * cells.get("logistic regression", baseline),
        "networks": cells.records("network", network, activation=ACTIVATIONS, seed=several),
        "stacks": cells.records("stack", against, stack=some),
        "relu": cells.records("relu", relu, stack=some),
        "matrices": cells.records("uneven", uneven, stack=some),
        "picture": two_matrices(8),
    }


def accuracies(study: Study, seed: int) -> dict[str, Any]:
    """Test accuracy of a trained network; of a linear stack also the largest change of a
    probability, and the number of changed predictions, when its backbone is replaced by the
    composed convolution."""
    trained = study.train(seed)
    found = study.evaluate(trained)
    row = {"accuracy": found.accuracy, "parameters": study.parameters}
    if study.cfg.backbone.activation != "identity":
        return row
    one = collapse(trained.model)
    other = study.evaluate((one, trained.state))
    change = float(np.abs(found.answers - other.answers).max())
    changed = int((found.predicted != other.predicted).sum())
    shape = {"kernel": list(one.kernel.shape), "stride": list(one.stride)}
    return row | shape | {"change": change, "predictions": len(found.label), "changed": changed}


@question.learnt
def learnt(networks: Records, baseline: float) -> dict[str, Verdict]:
    relu, _ = ACTIVATIONS
    shares = networks.where(activation=relu)["accuracy"]
    return lab.beats({"with ReLUs": lab.estimate(lab.percent(shares))}, baseline)


@question.answer
def answer(networks: Records) -> str:
    relu, linear = (networks.where(activation=name)["accuracy"] for name in ACTIVATIONS)
    gain = 100 * lab.paired(relu, linear).mean
    return (
        "Without padding or with circular padding, exactly; with zeros only away from the border. "
        f"ReLUs between the layers gain {gain:+.1f} points of accuracy."
    )


@question.claim(
    "A 4.2",
    "a stack of zero-padded layers whose matrix has unequal entries on a diagonal, which no single "
    "convolution's has, whatever its kernel",
    instead="equivalent",
)
def as_printed(matrices: Records) -> Verdict:
    """A stack of purely linear convolutions is equivalent to a single convolution with a larger
    kernel (with the "same" padding of the chapter, zeros)."""
    unequal = (n > 0 for n in matrices["uneven"])
    return lab.none_of(unequal, "zero-padded stacks", "are no single convolution")


@question.claim("A 4.2", "one such output that differs")
def equivalent(stacks: Records) -> Verdict:
    """Without padding ("valid"), and with circular padding, a stack of linear convolutions of any
    strides and dilations is the one convolution with the composed kernel; with zeros outputs that
    read no padding of a map in the middle are the same."""
    of, whole = stacks.by("padding"), ("valid", "circular")
    inside = of["same"]["differ_inside"], of["same"]["inside"]
    return lab.all_of(
        (lab.exact(of[p]["differ"], of[p]["outputs"], f"outputs ({p})") for p in whole),
        lab.exact(*inside, "outputs (same, inside)"),
    )


@question.claim(
    "A 4.2",
    "a stack with ReLUs for which f(x) + f(-x) = 2 f(0) at every output, as for an affine map",
    instead="alive",
)
def nonlinear(relu: Records) -> Verdict:
    """As printed, for every stack: nonlinearities between the convolutions avoid this collapse."""
    return bent(relu, "stacks")


@question.claim("A 4.2", "such a stack that is as an affine map there all the same")
def alive(relu: Records) -> Verdict:
    """Nonlinearities avoid this collapse where their outputs depend on the input: not where all of
    a layer's ReLUs are off, and what follows is constant."""
    return bent(relu.where(constant=False), "stacks that are not constant")


def bent(relu: Records, what: str) -> Verdict:
    return lab.none_of((n == 0 for n in relu["bent"]), what, "are as affine maps")


@question.claim(
    "A 4.2",
    "a class probability that changes by more than 1e-4, tens of times what rounding explains",
)
def trained(networks: Records) -> Verdict:
    """A trained linear stack, replaced by the composed convolution, is the same classifier."""
    changes = networks.where(activation="identity")["change"]
    what = f"largest change of a probability ({len(changes)} networks)"
    return lab.at_most(max(changes), 1e-4, what)


@question.claim(
    "A 4.2",
    "a test accuracy with ReLUs that is not above that of the same linear stack (paired seeds)",
)
def power(networks: Records) -> Verdict:
    """Alternating convolutions with nonlinearities gains representational power."""
    relu, linear = (networks.where(activation=name)["accuracy"] for name in ACTIVATIONS)
    return lab.at_least(lab.paired(relu, linear), 0.0, "gain in test accuracy by ReLU")


@question.table
def outputs(stacks: Records) -> lab.Table:
    header = ["padding", "interior outputs", "differ", "border outputs", "differ", "stacks"]
    rows = []
    for padding, of in stacks.by("padding").items():
        total = lambda name, of=of: sum(of[name])
        inside, wrong = total("inside"), total("differ_inside")
        border = [total("outputs") - inside, total("differ") - wrong]
        counts = [f"{n:,}" for n in (inside, wrong, *border)]
        rows.append([padding, *counts, f"{sum(n > 0 for n in of['differ'])} of {len(of)}"])
    return lab.Table("Stacks of linear convolutions against the composed one", header, rows)


@question.table
def accuracy_by_kind(networks: Records) -> Rows:
    """Test accuracy (%)"""
    for activation, rows in networks.by("activation").items():
        kind = {"activation": ACTIVATIONS[activation], "parameters": f"{rows[0]['parameters']:,}"}
        yield kind | lab.estimate(lab.percent(rows["accuracy"])).columns(".2f")


@question.table
def as_one_convolution(networks: Records) -> Rows:
    """The trained linear stacks as one convolution"""
    linear = networks.where(activation="identity")
    changed, predictions = (sum(linear[name]) for name in ("changed", "predictions"))
    return [{
        **{name: "x".join(map(str, linear[0][name])) for name in ("kernel", "stride")},
        "largest change of a probability": f"{max(linear['change']):.1e}",
        "changed predictions": f"{changed} of {predictions:,}",
    }]  # fmt: skip


@question.figure(10, 3.9)
def border(figure: Figure, picture: dict[str, list[list[float]]]) -> None:
    """The matrices of a zero-padded stack of two convolutions, of the one convolution with the
    composed kernel, and their difference: it is at the border alone."""
    stack, composed = (np.array(picture[name]) for name in ("stack", "composed"))
    titles = f"zero-padded layers {PICTURE[0]}, {PICTURE[1]}", "the composed kernel, zero-padded"
    matrices = dict(zip((*titles, "difference"), (stack, composed, stack - composed), strict=True))
    for axes, (title, matrix) in zip(lab.panels(figure, 3), matrices.items(), strict=True):
        texts = [[f"{value:g}" if value else "" for value in row] for row in matrix]
        lab.picture(axes, matrix, title=title, texts=texts, cmap="RdBu_r", vmin=-8, vmax=8)
        axes.set(xlabel="input", ylabel="output")


@question.figure(6, 3.6, serves="power")
def accuracy(figure: Figure, networks: Records) -> None:
    """Test accuracy of the same stack with and without ReLUs between its convolutions, a line a
    seed."""
    axes = figure.subplots()
    for shares in networks.by("seed", of="accuracy").values():
        axes.plot(range(2), lab.percent(shares), "o-", color="tab:blue", alpha=0.6)
    axes.set(xticks=range(2), xticklabels=list(ACTIVATIONS.values()), xlim=(-0.4, 1.4))
    axes.set(xlabel="activation between the convolutions", ylabel="test accuracy (%)")


main = lab.command(question)
