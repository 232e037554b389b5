"""What `sample_efficiency` measured: exponents, comparisons and tables of its data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cnnlab.lab.verdict import Estimate, estimate, paired, slope
from experiments._question import Table

NETS = {
    "conv": "convolutional",
    "local": "locally connected",
    "fc_sgd": "fully connected, SGD",
    "fc_adam": "fully connected, Adam",
}
# The accuracy that the chapter speaks of.
TARGET = "0.95"
# What `information_bound` counts as a parameter of the task: how many there are.
COUNTS = {"printed": "rotations, d (d - 1) / 2", "orbit": "functions, (d / 2)^2"}


def exponent(data: Mapping[str, Any], net: str, target: str) -> Estimate:
    """Of n(d) for a net: without an interval where a seed did not reach the target."""
    runs = of(data, net)
    return power([run["d"] for run in runs], [run["sizes"][target] for run in runs])


def power(d: Sequence[int], n: Sequence[float | None]) -> Estimate:
    """The exponent of n as a power of d; without an interval where an n is missing."""
    there = [(math.log(x), math.log(y)) for x, y in zip(d, n, strict=True) if y is not None]
    if len({x for x, _ in there}) < 2:
        return Estimate(0.0, 0.0, len(there), -math.inf, math.inf)
    line = slope(*zip(*there, strict=True))
    whole = len(there) == len(n)
    return line if whole else Estimate(line.mean, line.deviation, line.n, -math.inf, math.inf)


def of(data: Mapping[str, Any], net: str) -> list[Mapping[str, Any]]:
    """The searches of a net, one for each dimension and seed."""
    return [run for run in data["runs"] if run["net"] == net]


def unreached(data: Mapping[str, Any], net: str, target: str) -> str:
    """For the evidence: how many seeds did not get there with the most examples tried."""
    sizes = [run["sizes"][target] for run in of(data, net)]
    missing = sum(n is None for n in sizes)
    return f" ({missing} of {len(sizes)} searches without an end)" if missing else ""


def fits(data: Mapping[str, Any], net: str, d: int | None = None) -> list[float]:
    """A net's training accuracy at the largest size that missed 95 % on test data, in each search
    (of one dimension, where it is given)."""
    found = []
    for run in of(data, net):
        missed = [(n, train) for n, test, train in run["tried"] if test < float(TARGET)]
        if missed and d in (None, run["d"]):
            found.append(max(missed)[1])
    return found


def ratios(data: Mapping[str, Any]) -> tuple[list[int], list[float | None]]:
    """Dimensions, and n of the fully connected net over that of the convolutional one."""
    conv = {(run["d"], run["seed"]): run["sizes"][TARGET] for run in of(data, "conv")}
    d, n = [], []
    for run in of(data, "fc_sgd"):
        fc, other = run["sizes"][TARGET], conv[run["d"], run["seed"]]
        d.append(run["d"])
        n.append(None if fc is None or other is None else fc / other)
    return d, n


def by_size(data: Mapping[str, Any], net: str) -> dict[int, list[list[float]]]:
    """Test and training accuracies on images by number of examples, a row a seed."""
    runs = [run for run in data["images"] if run["net"] == net]
    sizes = [n for n, _, _ in runs[0]["tried"]]
    return {n: [run["tried"][i][1:] for run in runs] for i, n in enumerate(sizes)}


def margins(data: Mapping[str, Any]) -> list[tuple[int, Estimate]]:
    """By how much the convolutional net is more accurate on images, by number of examples."""
    conv, fc = by_size(data, "conv"), by_size(data, "fc_sgd")
    test = lambda rows: [row[0] for row in rows]
    return [(n, paired(test(conv[n]), test(fc[n]))) for n in conv]


def tables(data: Mapping[str, Any]) -> list[Table]:
    """Sizes by net and dimension, exponents, training accuracies, images."""
    dimensions = sorted({run["d"] for run in data["runs"]})
    needed = [
        Table(
            f"Training examples to reach {float(target):.0%} of test accuracy: "
            "mean ± standard deviation (seeds)",
            ["net", *(f"d = {d}" for d in dimensions), "exponent [95 % interval]"],
            [
                [
                    title,
                    *(_needed(data, net, d, target) for d in dimensions),
                    str(exponent(data, net, target)),
                ]
                for net, title in NETS.items()
            ],
        )
        for target in data["targets"]
    ]
    fitted = [
        [title, *(_percent(fits(data, net, d)) for d in dimensions)] for net, title in NETS.items()
    ]
    header = ["net", *(f"d = {d}" for d in dimensions)]
    height, width = data["image"]
    images = [
        [NETS[net], n, _percent([r[0] for r in rows]), _percent([r[1] for r in rows])]
        for net in ("conv", "fc_sgd")
        for n, rows in by_size(data, net).items()
    ]
    return [
        *needed,
        Table(
            "Training accuracy, in %, at the largest training set that missed 95 % on test data",
            header,
            fitted,
        ),
        Table(
            f"Gaussian images 3x{height}x{width}: which channel has the larger norm; accuracy in %",
            ["net", "training examples", "test", "training"],
            images,
        ),
    ]


def _needed(data: Mapping[str, Any], net: str, d: int, target: str) -> str:
    sizes = [run["sizes"][target] for run in of(data, net) if run["d"] == d]
    there = [n for n in sizes if n is not None]
    missing = f", {len(sizes) - len(there)} never" if len(there) < len(sizes) else ""
    if not there:
        return f"never ({len(sizes)})"
    found = estimate(there)
    return f"{found.mean:.0f} ± {found.deviation:.0f} ({found.n}{missing})"


def _percent(values: list[float]) -> str:
    if not values:
        return "none missed"
    found = estimate([100 * v for v in values])
    return f"{found.mean:.2f} ± {found.deviation:.2f} ({found.n})"
