"""Kinds of convolution at equal parameters and at equal multiply-adds (A 4.6, 4.7, 5.1 to 5.3)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import (
    INCONCLUSIVE,
    Verdict,
    all_of,
    at_least,
    at_most,
    estimate,
    exact,
    paired,
)
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

BUDGETS = {"parameters": "equal parameters", "multiply_adds": "equal multiply-adds"}
CHEAPER = ("grouped", "depthwise", "depthwise_separable")
# Points of accuracy: about the standard error of one measured on 1,000 test images.
POINT = 1.0

CLAIMS = (
    Claim(
        "formulas",
        "A 5.1, 5.2, 5.3",
        "Weights: 1x1 convolution c c', depthwise s^2 c, standard s^2 c c', depthwise separable "
        "s^2 c + c c' (and grouped s^2 c c' / g).",
        "a layer with another number of weights",
    ),
    Claim(
        "smaller",
        "A 5.3",
        "For typical sizes a depthwise separable convolution is significantly smaller (at most "
        "half, in every layer of VGG-16).",
        "a layer of VGG-16 whose separable form has more than half the weights",
    ),
    Claim(
        "reduce",
        "A 5.2",
        "Groupwise and depthwise convolutions reduce compute and parameters.",
        "a network of grouped, depthwise or separable convolutions with the dense one's widths and "
        "as many parameters or multiply-adds",
    ),
    Claim(
        "separable",
        "A 5.3",
        "Many efficient architectures use depthwise separable convolutions: for the same cost they "
        "are no more than a point less accurate than dense ones.",
        "a lower accuracy, by more than a point, at equal parameters or multiply-adds",
    ),
    Claim(
        "grouped",
        "A 5.2",
        "Groupwise convolutions retain spatial modelling: for the same cost they are no more than "
        "a point less accurate than dense ones.",
        "a lower accuracy, by more than a point, at equal parameters or multiply-adds",
    ),
    Claim(
        "depthwise",
        "A 5.2",
        "Depthwise convolutions retain spatial modelling: for the same cost they are no more than "
        "a point less accurate than dense ones.",
        "a lower accuracy, by more than a point, at equal parameters or multiply-adds",
    ),
    Claim(
        "pointwise",
        "A 5.1",
        "1x1 convolutions mix channels without enlarging the receptive field: alone, and for the "
        "same cost, they are less accurate than dense ones.",
        "1x1 convolutions that are as accurate",
    ),
    Claim(
        "shared",
        "A 3.1, 6.4",
        "Sharing weights reduces parameters dramatically: a locally connected network with as "
        "many parameters as a convolutional one is less accurate.",
        "a locally connected network as accurate at equal parameters",
    ),
    Claim(
        "strided",
        "A 4.7",
        "Strides can take the place of max-pooling: for the same cost within a point.",
        "strides that are more than a point less accurate",
    ),
    Claim(
        "time",
        "A 5.2",
        "The variants reduce compute (read of time): at equal multiply-adds they train on as many "
        "images a second as dense convolutions.",
        "a grouped, depthwise or separable network that is slower",
    ),
)


def check(cfg: "DictConfig") -> None:
    """All variants are compared; every task has settings."""
    from cnnlab.config import ConfigError

    missing = {"dense", "pointwise", *CHEAPER, "dilated", "locally_connected", "strided"}
    if missing := missing - set(cfg.variants):
        raise ConfigError(f"variants: expected all of them, got none of {', '.join(missing)}")
    for task in cfg.tasks:
        if task not in cfg.settings:
            raise ConfigError(f"tasks: expected some of {', '.join(cfg.settings)}, got {task!r}")


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Count layers, fit widths to the budgets, train, and time training steps side by side."""
    from experiments._conv_variants import counted, measured, typical_ratios

    return {
        "counted": counted(cfg.seed, cfg.draws),
        "typical": typical_ratios(),
        "tasks": {task: measured(cfg, task, cells) for task in cfg.tasks},
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Counts exactly; accuracies in points, paired with the dense network of the same seed."""
    pairs = [pair for of in data["counted"].values() for pair in of]
    ratios = [
        (task["same_widths"][v][b] / task["same_widths"]["dense"][b])
        for task in data["tasks"].values()
        for v in CHEAPER
        for b in BUDGETS
    ]
    speed = [
        at_least(
            nets[v]["images_per_second"] / nets["dense"]["images_per_second"], 1.0,
            f"{task}: images/s of {v}, as a part of dense's",
        )
        for task, budget, nets in _networks(data)
        if budget == "multiply_adds"
        for v in CHEAPER
    ]  # fmt: skip
    return {
        "formulas": exact(sum(a != b for a, b in pairs), len(pairs), "layers' weights"),
        "smaller": at_most(
            max(data["typical"]), 0.5, f"largest ratio of {len(data['typical'])} layers"
        ),
        "reduce": at_most(max(ratios), 1.0, f"largest of {len(ratios)} ratios to the dense one"),
        "separable": _lead(data, "depthwise_separable", at_least, -POINT),
        "grouped": _lead(data, "grouped", at_least, -POINT),
        "depthwise": _lead(data, "depthwise", at_least, -POINT),
        "pointwise": _lead(data, "pointwise", at_most, 0.0),
        "shared": _lead(data, "locally_connected", at_most, 0.0, ("parameters",)),
        "strided": _lead(data, "strided", at_least, -POINT),
        "time": _all(speed, "measured at equal multiply-adds"),
    }


def _networks(data: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for task, of in data["tasks"].items():
        for budget, nets in of["budgets"].items():
            yield task, budget, nets


def _lead(
    data: Mapping[str, Any], variant: str, rule: Any, limit: float, budgets: Any = tuple(BUDGETS)
) -> Verdict:
    """A rule on the points by which a variant is ahead of dense, in every task and budget."""
    percent = lambda net: [100 * share for share in net["accuracy"]]
    found = [
        rule(
            paired(percent(nets[variant]), percent(nets["dense"])), limit,
            f"{task}, {BUDGETS[budget]}: points ahead of dense",
        )
        for task, budget, nets in _networks(data)
        if budget in budgets
    ]  # fmt: skip
    return _all(found, "measured")


def _all(verdicts: list[Verdict], what: str) -> Verdict:
    return all_of(*verdicts) if verdicts else Verdict(INCONCLUSIVE, f"0 networks {what}")


def tables(data: Mapping[str, Any]) -> list[Table]:
    """For each data set and budget a row for each variant."""
    header = ["convolution", "widths", "parameters", "multiply-adds", "off budget, %"]
    header += ["accuracy, %", "deviation", "n", "images/s"]
    result = []
    for task, budget, nets in _networks(data):
        rows = []
        for variant, net in nets.items():
            ours = estimate([100 * share for share in net["accuracy"]])
            off = 100 * (net[budget] / nets["dense"][budget] - 1)
            rows.append(
                [
                    variant,
                    " ".join(map(str, net["widths"])),
                    f"{net['parameters']:,}",
                    f"{net['multiply_adds']:,}",
                    f"{off:+.1f}",
                    f"{ours.mean:.1f}",
                    f"{ours.deviation:.1f}",
                    ours.n,
                    f"{net['images_per_second']:,.0f}",
                ]
            )
        result.append(Table(f"{task}: {BUDGETS[budget]}", header, rows))
    return result  # fmt: skip


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Accuracy and speed of every variant, for each data set and budget."""
    from matplotlib.figure import Figure

    panels = list(_networks(data))
    figure = Figure(figsize=(10, 0.6 + 2.9 * len(panels)), layout="constrained")
    for (task, budget, nets), (left, right) in zip(
        panels, figure.subplots(len(panels), 2, squeeze=False), strict=True
    ):
        names = [name.replace("_", " ") for name in nets]
        shades = ["C1" if name == "dense" else "C0" for name in names]
        found = [estimate([100 * share for share in net["accuracy"]]) for net in nets.values()]
        spread = [e.deviation for e in found]
        left.barh(names, [e.mean for e in found], xerr=spread, color=shades, capsize=3)
        lowest = min(e.mean - e.deviation for e in found)
        left.set(title=f"{task}: {BUDGETS[budget]}", xlim=(max(0, lowest - 5), None))
        left.set_xlabel(f"test accuracy, % (mean ± deviation, n = {found[0].n})")
        right.barh(names, [net["images_per_second"] for net in nets.values()], color=shades)
        right.set(xlabel="training images a second", xscale="log", yticklabels=[])
        for axes in (left, right):
            axes.invert_yaxis()
    return {"variants": figure}


QUESTION = Question(
    name="conv_variants",
    title="At equal cost, which kind of convolution?",
    claims=CLAIMS,
    check=check,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="All networks follow one VGG pattern, with widths scaled until they cost what the dense "
    "one costs; all are trained with one rate. The first layer has one input channel, so that it "
    "is dense in all but the 1x1, the separable and the locally connected network. The chapter's "
    "depthwise convolution never mixes channels: here only the classifier does.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
