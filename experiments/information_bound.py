"""The packing bound of B 10.2 with its constants, beside the examples that nets needed."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import Estimate, Verdict, all_of, at_least, at_most, between, estimate
from cnnlab.lab.verdict import exact as equal
from experiments._question import Claim, Question, Table, entry
from experiments._sample_efficiency_data import COUNTS, NETS, TARGET, of, power

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

CLAIMS = (
    Claim(
        "parameters_printed",
        "B 10.2, eqs. 10.12 and 10.13",
        "As printed: the functions h* o R have D = d (d - 1) / 2 parameters, those of R.",
        "a rotation at which h* o R moves in another number of independent directions",
    ),
    Claim(
        "parameters",
        "B 10.2, eqs. 10.12 and 10.13",
        "The functions h* o R have (d / 2)^2 parameters: a rotation that mixes coordinates of one "
        "half only leaves h* as it is.",
        "a rotation at which h* o R moves in another number of independent directions",
    ),
    Claim(
        "growth",
        "B eq. 10.14",
        "log2 M grows as d^2, by either count.",
        "an exponent of log2 M that is not 2.0 to one decimal",
    ),
    Claim(
        "above_printed",
        "B eq. 10.14",
        "The fully connected net trained by SGD needs at least log2 M samples, with M as printed, "
        "by the volume of O(d).",
        "a dimension in which it reached 95 % with fewer",
    ),
    Claim(
        "above",
        "B eq. 10.14",
        "The fully connected net trained by SGD needs at least log2 M samples, with M by the "
        "volume of the class itself.",
        "a dimension in which it reached 95 % with fewer",
    ),
    Claim(
        "escapes",
        "B 10.2",
        "The convolutional net, which is not orthogonally equivariant, is not bound by log2 M: it "
        "learns with fewer samples in the largest dimension.",
        "no fewer samples there than log2 M of the class itself",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """The searches of `sample_efficiency`, found or made; the bounds; the ranks."""
    from cnnlab.analysis.information import orbit_dimension, rotation_dimension
    from cnnlab.config import compose
    from experiments import sample_efficiency
    from experiments._question import answer

    other = compose([*cfg.efficiency, f"scale={cfg.scale}"], "sample_efficiency")
    other.seed, other.output, other.progress = cfg.seed, cfg.output, cfg.progress
    folder, efficiency = answer(sample_efficiency.QUESTION, other)
    runs = [
        {key: run[key] for key in ("net", "d", "seed", "sizes")}
        for run in efficiency["data"]["runs"]
    ]
    targets = efficiency["data"]["targets"]
    measured = {run["d"] for run in runs}
    ranks = {f"rank, d = {d}": lambda d=d: _ranks(cfg, d) for d in cfg.ranks}
    return {
        # The result that n is from: its own config's hash, which this question's does not hold.
        "efficiency": folder.name,
        "targets": targets,
        "runs": runs,
        "bounds": [_bound(d, t) for d in sorted({*measured, *cfg.growth}) for t in targets],
        "growth": list(cfg.growth),
        "ranks": [
            {"d": d, "printed": rotation_dimension(d), "orbit": orbit_dimension(d), "ranks": found}
            for d, found in zip(cfg.ranks, cells.all(ranks).values(), strict=True)
        ],
    }


def _ranks(cfg: "DictConfig", d: int) -> list[int]:
    """Independent directions at random rotations."""
    import numpy as np

    from cnnlab.analysis.information import orbit_rank

    random = np.random.default_rng([cfg.seed, d])
    draws = random.standard_normal((cfg.rotations, d, d))
    return [orbit_rank(np.linalg.qr(draw)[0]) for draw in draws]


def _bound(d: int, target: str) -> dict[str, Any]:
    """log2 M by both counts, with the constants of B eq. 10.12.

    A learner of error e on each of M functions tells them apart if they are 2 e apart.
    """
    from cnnlab.analysis.information import orbit_packing, rotation_packing

    separation = 2 * (1 - float(target))
    packings = {
        "printed": rotation_packing(d, separation),
        "orbit": orbit_packing(d, separation),
    }
    return {
        "d": d,
        "target": target,
        **{
            name: {"D": p.dimension, "C": p.constant, "delta": p.radius, "bits": p.bits}
            for name, p in packings.items()
        },
    }


def judge(data: Mapping[str, Any]) -> dict[str, Verdict]:
    """Ranks against both counts; n against log2 M, dimension by dimension."""
    dimensions = sorted({run["d"] for run in data["runs"]})
    largest = dimensions[-1]
    return {
        "parameters_printed": _counted(data, "printed"),
        "parameters": _counted(data, "orbit"),
        "growth": all_of(
            *(
                between(_growth(data, count), 1.95, 2.05, f"exponent of log2 M, {what}")
                for count, what in COUNTS.items()
            )
        ),
        "above_printed": all_of(*(_above(data, d, "printed") for d in dimensions)),
        "above": all_of(*(_above(data, d, "orbit") for d in dimensions)),
        "escapes": at_most(
            _needed(data, "conv", largest, TARGET),
            bits(data, largest, TARGET, "orbit"),
            f"d = {largest}: n of the convolutional net against log2 M",
        ),
    }


def bits(data: Mapping[str, Any], d: int, target: str, count: str) -> float:
    """log2 M in a dimension."""
    return next(
        row[count]["bits"] for row in data["bounds"] if (row["d"], row["target"]) == (d, target)
    )


def _counted(data: Mapping[str, Any], count: str) -> Verdict:
    differ = [rank != row[count] for row in data["ranks"] for rank in row["ranks"]]
    counts = ", ".join(
        f"d = {row['d']}: {'/'.join(map(str, sorted(set(row['ranks']))))} against {row[count]}"
        for row in data["ranks"]
    )
    return equal(sum(differ), len(differ), f"counts ({counts})")


def _growth(data: Mapping[str, Any], count: str) -> Estimate:
    """The exponent of log2 M over the dimensions that are set for it."""
    return power(data["growth"], [bits(data, d, TARGET, count) for d in data["growth"]])


def _above(data: Mapping[str, Any], d: int, count: str) -> Verdict:
    n = _needed(data, "fc_sgd", d, TARGET)
    return at_least(n, bits(data, d, TARGET, count), f"d = {d}: n against log2 M")


def _needed(data: Mapping[str, Any], net: str, d: int, target: str) -> Estimate:
    """n over seeds, without an interval where one of them did not get there."""
    sizes = [run["sizes"][target] for run in of(data, net) if run["d"] == d]
    there = [n for n in sizes if n is not None]
    if len(there) < len(sizes):
        mean = estimate(there).mean if there else math.inf
        return Estimate(mean, 0.0, len(there), -math.inf, math.inf)
    return estimate(there)


def tables(data: Mapping[str, Any]) -> list[Table]:
    """The constants of B eq. 10.12, and the bound beside what was needed."""
    dimensions = sorted({run["d"] for run in data["runs"]})
    constants = [
        [row["d"], what, row[c]["D"], *(f"{row[c][key]:.3f}" for key in ("C", "delta")),
         f"{row[c]['bits']:.0f}"]
        for row in data["bounds"] if row["target"] == TARGET and row["d"] in dimensions
        for c, what in COUNTS.items()
    ]  # fmt: skip
    header = ["d", "log2 M, printed", "log2 M, of the class", "n / d^2, fully connected"]
    beside = []
    for target in data["targets"]:
        rows = []
        for d in dimensions:
            n = {net: _needed(data, net, d, target).mean for net in NETS}
            least = bits(data, d, target, "orbit")
            rows.append([
                d, f"{bits(data, d, target, 'printed'):.0f}", f"{least:.0f}",
                f"{n['fc_sgd'] / d**2:.2f}", *(f"{value:.0f}" for value in n.values()),
                f"{least / n['fc_sgd']:.3f}",
            ])  # fmt: skip
        title = (
            f"Bound and mean n for {float(target):.0%} of test accuracy. A label that is "
            f"foreseen with that accuracy carries {_entropy(float(target)):.2f} bits"
        )
        last = "bits a sample, fully connected, SGD"
        beside.append(Table(title, [*header, *NETS.values(), last], rows))
    title = "log2 M = D log2(C / delta), functions apart by twice an error of 5 %"
    return [*beside, Table(title, ["d", "counted", "D", "C", "delta", "log2 M"], constants)]


def _entropy(p: float) -> float:
    """Of a coin, in bits."""
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """n of two nets and the bounds, over d; the count of parameters."""
    from experiments import _information_bound_figures as figures

    mean = lambda net, d, target: _needed(data, net, d, target).mean
    least = lambda count, d, target: bits(data, d, target, count)
    return {"bound": figures.bound(data, mean, least), "count": figures.parameters(data["ranks"])}


QUESTION = Question(
    name="information_bound",
    title="How far above the information bound does a fully connected net learn?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note=(
        "The chapter counts the parameters of the rotation R, but rotations that act within one "
        "half of the coordinates leave h* as it is: they are no different functions, and no c > 0 "
        "makes B eq. 10.11 true of them. Counting functions halves the exponent of M "
        "and leaves its order. Its c also shrinks like 1 / sqrt(d), as dist is at most 1 while "
        "|R1 - R2|_F grows to 2 sqrt(d). B eq. 10.14 is loose in two ways. As printed it is about "
        "identifying the function, but the class is a continuum, which no number of labels "
        "identifies: a learner that is right on 95 % need only tell functions apart that differ "
        "on 10 %. And a label brings a bit only while it can't be foreseen. That a learner "
        "succeeds with half of its training sets only costs one bit: n labels have 2^n values, "
        "so it is right on a share of 2^n / M of the functions at most."
    ),
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
