"""Kinds of convolution at equal parameters and at equal multiply-adds (A 4.6, 4.7, 5.1 to 5.3)."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from experiments.conv_variants.counts import counted, typical_ratios
from experiments.conv_variants.networks import (
    BUDGETS,
    CHEAPER,
    SETTINGS,
    VARIANTS,
    Task,
    Training,
    beside_dense,
)
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import ConfigError
from cnnlab.lab import Cells, Count, Positive, Records, Verdict

# Points of accuracy: "as accurate" is within one of them, and the intervals are to be as narrow.
POINT = 1.0


question = lab.Question(
    "conv_variants",
    "At equal cost, which kind of convolution?",
    note="All networks follow one VGG pattern, with widths scaled until they cost what the dense "
    "one costs; each is trained with the best of the same rates. The first layer has one input "
    "channel, so that it is dense in all but the 1x1, the separable and the locally connected "
    "network. The chapter's depthwise convolution never mixes channels: here only the classifier "
    "does.",
)


@question.check
def check(settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Dense networks are what the others are compared with."""
    for name, of in settings.items():
        if "dense" not in of["variants"]:
            raise ConfigError(
                f"settings.{name}.variants: expected dense among them, got {of['variants']}"
            )


@question.measure(
    full={
        "draws": 1000, "seconds": 3,
        "settings.mnist1d.most_seeds": 40,
        "settings.fashion_mnist.plan": [16, "M", 32, "M", 64, "M", 128],
        # A depthwise network of as many multiply-adds would take about half an hour a run.
        "settings.fashion_mnist.variants": [v for v in VARIANTS if v != "depthwise"],
        "settings.fashion_mnist.batch_size": 128,
        "settings.fashion_mnist.limit_train": None,
        "settings.fashion_mnist.steps": 1500,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    tasks: Annotated[Sequence[str], f"some of {', '.join(SETTINGS)}"] = tuple(SETTINGS),
    groups: Annotated[Count, "of the grouped convolutions"] = 8,
    draws: Annotated[Count, "random layers of each kind whose weights are counted"] = 50,
    seconds: Annotated[Positive, "of training steps of each network, for images/s"] = 0.5,
    settings: Annotated[
        Mapping[str, Training],
        "of each task: the data; the widths of the dense network, which the other variants get as "
        "many parameters or multiply-adds as (budgets); examples (null: all), batches; seeds, more "
        "while the intervals are wide; Adam's rates, of which each network has the best",
    ] = SETTINGS,
) -> dict[str, Any]:
    """Count layers, fit widths to the budgets, train, and time training steps side by side."""
    of = {name: Task(settings[name], groups=groups) for name in tasks}
    same = lambda task, variant: of[task].size(variant, of[task].widths)
    kinds = ("dense", *CHEAPER)
    return {
        "counted": list(counted(np.random.default_rng(seed), draws)),
        "typical": typical_ratios(),
        "baselines": {n: cells.get(f"baseline: {n}", of[n].baseline) for n in tasks},
        "same_widths": cells.records("same widths", same, task=tasks, variant=kinds),
        "networks": [
            network for name in tasks for network in measured(cells, name, of[name], seed, seconds)
        ],
    }


def measured(
    cells: Cells, name: str, of: Task, seed: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """The networks of a task, by budget and variant: what they cost, the accuracy of each seed's,
    and how fast they train."""

    def fitted(task: str, budget: str, variant: str) -> dict[str, Any]:
        widths = of.fit(variant, budget)
        return {"widths": list(widths), **of.size(variant, widths)}

    budgets, variants = of.training.budgets, of.training.variants
    dense = ("dense", *of.widths)
    nets = cells.records("network", fitted, task=[name], budget=budgets, variant=variants)
    # The dense network is the same for either budget, and so are its runs.
    kinds = dict.fromkeys((net["variant"], *net["widths"]) for net in nets)
    rate = lambda task, network: of.rate(network[0], network[1:], seed + 10_000)
    rates = cells.records("rate", rate, task=[name], network=kinds).by("network", of="rate")

    def tested(seed: int, task: str, network: tuple[Any, ...]) -> dict[str, Any]:
        return of.tested(network[0], network[1:], rates[network][0], seed)

    def narrow(runs: Records) -> bool:
        right = runs.by("network", of="right")
        leads = (lab.lead(of, right[dense]) for kind, of in right.items() if kind != dense)
        return all(lead.narrow(POINT) for lead in leads)

    wanted = of.training
    several = {"first": seed, "least": wanted.seeds, "most": wanted.most_seeds}
    runs = cells.seeds("tested", tested, narrow, **several, task=[name], network=kinds)
    found = runs.by("network")
    for budget, some in nets.by("budget").items():
        widths = dict(zip(some["variant"], some["widths"], strict=True))
        time = functools.partial(of.images_per_second, widths, seed, seconds)
        speed = cells.get(f"images/s: task {name}, budget {budget}", time)
        for net in some:
            kind = found[net["variant"], *net["widths"]]
            shown = {"accuracy": kind["accuracy"], "right": kind["right"]}
            yield {**net, **shown, "images_per_second": speed[net["variant"]]}


@question.learnt
def learnt(networks: Records, baselines: dict[str, float]) -> dict[str, Verdict]:
    def beaten(nets: Records) -> Iterator[Verdict]:
        for net in nets:
            mean = lab.estimate(lab.percent(net["accuracy"])).mean
            what = f"{net['variant']}, {net['task']}, to beat logistic regression"
            yield lab.at_least(mean, baselines[net["task"]], what)

    return {variant: lab.all_of(beaten(nets)) for variant, nets in networks.by("variant").items()}


@question.answer
def answer(networks: Records) -> str:
    ahead = {
        variant: [lab.lead(net["right"], dense["right"]).mean for _, net, dense in pairs]
        for variant in ("depthwise_separable", "grouped", "locally_connected")
        if (pairs := list(beside_dense(networks, variant, tuple(BUDGETS))))
    }
    of = (f"{v.replace('_', ' ')} {min(p):+.1f} to {max(p):+.1f}" for v, p in ahead.items())
    return f"At the same cost, points ahead of dense convolutions: {', '.join(of)}."


@question.claim("A 5.1, 5.2, 5.3", "a layer with another number of weights")
def formulas(counted: Records) -> Verdict:
    """Weights: 1x1 convolution c c', depthwise s^2 c, standard s^2 c c', depthwise separable s^2 c
    + c c' (and grouped s^2 c c' / g)."""
    return lab.none_of((row["weights"] != row["formula"] for row in counted), "layers' weights")


@question.claim("A 5.3", "a layer of VGG-16 whose separable form has more than half the weights")
def smaller(typical: list[float]) -> Verdict:
    """For typical sizes a depthwise separable convolution is significantly smaller (at most half,
    in every layer of VGG-16)."""
    return lab.at_most(max(typical), 0.5, f"largest ratio of {len(typical)} layers")


@question.claim(
    "A 5.2",
    "a network of grouped, depthwise or separable convolutions with the dense one's widths and as "
    "many parameters or multiply-adds",
)
def reduce(same_widths: Records) -> Verdict:
    """Groupwise and depthwise convolutions reduce compute and parameters."""
    ratios = [
        net[budget] / dense[budget]
        for nets in same_widths.by("task").values()
        for dense in nets.where(variant="dense")
        for net in nets.where(variant=CHEAPER)
        for budget in BUDGETS
    ]
    return lab.at_most(max(ratios), 1.0, f"largest of {len(ratios)} ratios to the dense one")


def lead(
    networks: Records,
    variant: str,
    rule: Callable[..., Verdict],
    limit: float,
    budgets: Sequence[str] = tuple(BUDGETS),
) -> Verdict:
    """A rule on the points by which a variant is ahead of dense, paired by seed."""
    verdicts = (
        rule(
            lab.lead(net["right"], dense["right"]), limit,
            f"{task}, {BUDGETS[net['budget']]}: points ahead of dense",
        )
        for task, net, dense in beside_dense(networks, variant, budgets)
    )  # fmt: skip
    return lab.all_of(verdicts, none="0 networks measured")


LESS = "a lower accuracy, by more than a point, at equal parameters or multiply-adds"


@question.claim("A 5.3", LESS, arms=("dense", "depthwise_separable"), instead="smaller")
def separable(networks: Records) -> Verdict:
    """Many efficient architectures use depthwise separable convolutions: for the same cost they are
    no more than a point less accurate than dense ones."""
    return lead(networks, "depthwise_separable", lab.at_least, -POINT)


@question.claim("A 5.2", LESS, arms=("dense", "grouped"))
def grouped(networks: Records) -> Verdict:
    """Groupwise convolutions retain spatial modelling: for the same cost they are no more than a
    point less accurate than dense ones."""
    return lead(networks, "grouped", lab.at_least, -POINT)


@question.claim("A 5.2", LESS, arms=("dense", "depthwise"))
def depthwise(networks: Records) -> Verdict:
    """Depthwise convolutions retain spatial modelling: for the same cost they are no more than a
    point less accurate than dense ones."""
    return lead(networks, "depthwise", lab.at_least, -POINT)


@question.claim("A 5.1", "1x1 convolutions that are as accurate", arms=("dense",))
def pointwise(networks: Records, baselines: dict[str, float]) -> Verdict:
    """1x1 convolutions mix channels without enlarging the receptive field: alone, and for the same
    cost, they are less accurate than dense ones (of data from which they learn more than logistic
    regression does)."""
    accuracy = lambda net: lab.estimate(lab.percent(net["accuracy"])).mean
    alone = networks.where(variant="pointwise")
    weak = {net["task"] for net in alone if accuracy(net) < baselines[net["task"]]}
    learnt = networks.where(lambda net: net["task"] not in weak)
    return lead(learnt, "pointwise", lab.at_most, 0.0)


@question.claim(
    "A 3.2, 6.4", "a locally connected network as accurate at equal parameters", arms=("dense",)
)
def shared(networks: Records) -> Verdict:
    """Sharing weights reduces parameters dramatically: a locally connected network that has as many
    as a convolutional one is less accurate."""
    return lead(networks, "locally_connected", lab.at_most, 0.0, ["parameters"])


@question.claim(
    "A 3.2, 6.4, of accuracy", "a locally connected network ahead by more than a point",
    arms=("dense", "locally_connected"),
)  # fmt: skip
def unshared(networks: Records) -> Verdict:
    """Sharing weights costs no accuracy: with as many multiply-adds, and many times the weights, a
    locally connected network is no more than a point ahead of a convolutional one."""
    return lead(networks, "locally_connected", lab.at_most, POINT, ["multiply_adds"])


@question.claim(
    "A 4.7", "strides that are more than a point less accurate", arms=("dense", "strided")
)
def strided(networks: Records) -> Verdict:
    """Strides can take the place of max-pooling, read as: for the same cost within a point."""
    return lead(networks, "strided", lab.at_least, -POINT)


@question.claim(
    "A 5.2", "a grouped, depthwise or separable network that is slower", instead="reduce"
)
def time(networks: Records) -> Verdict:
    """The variants reduce compute (read of time): at equal multiply-adds they train on as many
    images a second as dense convolutions."""
    verdicts = (
        lab.at_least(
            net["images_per_second"] / dense["images_per_second"], 1.0,
            f"{task}: images/s of {net['variant']}, as a part of dense's",
        )
        for task, net, dense in beside_dense(networks, CHEAPER, ["multiply_adds"])
    )  # fmt: skip
    return lab.all_of(verdicts, none="0 networks measured at equal multiply-adds")


@question.table
def by_task(networks: Records) -> Iterator[lab.Table]:
    """For each data set and budget a row for each variant."""
    for (task, budget), nets in networks.by("task", "budget").items():
        [dense], rows = nets.where(variant="dense"), []
        for net in nets:
            found = lab.estimate(lab.percent(net["accuracy"]))
            rows.append({
                "convolution": net["variant"], "widths": " ".join(map(str, net["widths"])),
                "parameters": f"{net['parameters']:,}",
                "multiply-adds": f"{net['multiply_adds']:,}",
                "off budget, %": f"{100 * (net[budget] / dense[budget] - 1):+.1f}",
                "accuracy, %": f"{found.mean:.1f}", "deviation": f"{found.deviation:.1f}",
                "n": found.n, "images/s": f"{net['images_per_second']:,.0f}",
            })  # fmt: skip
        yield lab.Table.of(f"{task}: {BUDGETS[budget]}", rows)


@question.figure(10, 3.5)
def variants(figure: Figure, networks: Records) -> None:
    """Accuracy (mean and 95 % interval over the seeds) and speed of every variant, a row for each
    data set and budget; orange: dense."""
    shown = networks.by("task", "budget")
    figure.set_figheight(0.6 + 2.9 * len(shown))
    rows = figure.subplots(len(shown), 2, squeeze=False)
    for ((task, budget), nets), (left, right) in zip(shown.items(), rows, strict=True):
        names = [name.replace("_", " ") for name in nets["variant"]]
        for name, net in zip(names, nets, strict=True):
            found = lab.estimate(lab.percent(net["accuracy"]))
            style = {"color": "C1" if name == "dense" else "C0", "fmt": "o", "capsize": 3}
            left.errorbar(found.mean, name, xerr=lab.half_interval(found), **style)
            right.plot(net["images_per_second"], name, "o", color=style["color"])
        left.set(title=f"{task}: {BUDGETS[budget]}", xlabel=f"test accuracy, % (n = {found.n})")
        right.set(xlabel="training images a second", xscale="log", yticklabels=[])
        for axes in (left, right):
            axes.invert_yaxis()
            axes.grid(axis="x", lw=0.4)


main = lab.command(question)
