"""The packing bound of B 10.2 with its constants, beside the examples that nets needed.

How many functions does a learner tell apart? The class is `h* o R` for orthogonal `R`,
`h*(x) = sign(x' Q x)`, `Q` diagonal with d/2 entries +1 and d/2 entries -1. A rotated function is
known by `A = R' Q R`, a reflection matrix, that is by the subspace on which A is +1: a point of the
Grassmann manifold Gr(d/2, d).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from experiments.packing.sets import dimension
from experiments.packing.tasks import orbit
from experiments.packing.volumes import orbit_packing, rotation_packing
from experiments.sample_efficiency import (
    COLOURS,
    NETS,
    TARGET,
    against_dimension,
    by_target,
    power,
)
from experiments.sample_efficiency import question as sample_efficiency
from jaxtyping import Float
from matplotlib.figure import Figure

from cnnlab import lab
from cnnlab.config import compose
from cnnlab.lab import Cells, Count, Estimate, Records, Rows, Verdict

Growth = Annotated[Sequence[int], "list of at least 3 different even whole numbers >= 4"]
Ranks = Annotated[Sequence[int], "list of at least 1 even whole numbers >= 4"]
# The space whose dimension is counted: O(d), as the chapter prints it, or the class itself, which
# has fewer, as a rotation within either eigenspace of Q leaves h* as it is.
COUNTS = {"rotations": "rotations, d (d - 1) / 2", "orbit": "functions, (d / 2)^2"}
STYLES = {"rotations": ":", "orbit": "--"}

question = lab.Question(
    "information_bound",
    "How far above the information bound does a fully connected net learn?",
    note="The chapter counts the parameters of the rotation R, but rotations that act within one "
    "half of the coordinates leave h* as it is: they are no different functions, and no c > 0 "
    "makes B eq. 10.11 true of them. Counting functions halves the exponent of M "
    "and leaves its order. Its c also shrinks like 1 / sqrt(d), as dist is at most 1 while "
    "||R1 - R2||_F grows to 2 sqrt(d). B eq. 10.14 is loose in two ways. As printed it is about "
    "identifying the function, but the class is a continuum, which no number of labels "
    "identifies: a learner that is right on 95 % need only tell functions apart that differ "
    "on 10 %. And a label brings a bit only while it can't be foreseen. That a learner "
    "succeeds with half of its training sets only costs one bit: n labels have 2^n values, "
    "so it is right on a share of 2^n / M of the functions at most.",
)


@question.measure(full={"ranks": [4, 8, 12, 16], "rotations": 10})
def measure(
    cells: Cells,
    *,
    seed: int,
    scale: str,
    output: str,
    progress: bool,
    efficiency: Annotated[
        Sequence[str], "list of texts", "settings of sample_efficiency, whose result is used"
    ] = (),
    growth: Annotated[Growth, "d of the bound's exponent"] = (64, 128, 256, 512, 1024),
    ranks: Annotated[Ranks, "d in which the parameters of the class are counted"] = (4, 8, 12),
    rotations: Annotated[Count, "random ones at which they are counted"] = 5,
) -> dict[str, Any]:
    """The searches of `sample_efficiency`, found or made; the bounds; the ranks."""
    cfg = compose([*efficiency, f"scale={scale}"], "sample_efficiency")
    cfg.seed, cfg.output, cfg.progress = seed, output, progress
    folder, result = lab.answer(sample_efficiency, cfg)
    needed = Records(result["data"]["needed"])

    def rank(d: int) -> list[dict[str, int]]:
        draws = np.random.default_rng([seed, d]).standard_normal((rotations, d, d))
        return [{"rank": orbit_rank(np.linalg.qr(draw)[0])} for draw in draws]

    return {
        # The result that n is from: its own config's hash, which this question's does not hold.
        "efficiency": folder.name,
        "needed": needed,
        "per_octave": result["data"]["per_octave"],
        "growth": list(growth),
        "bounds": [
            {"d": d, "target": target, "count": count, **packed(count, d, target)}
            for d in sorted({*needed["d"], *growth})
            for target in needed.by("target")
            for count in COUNTS
        ],
        "ranks": cells.records("rank", rank, d=ranks),
    }


def packed(count: str, d: int, target: str) -> dict[str, float]:
    """log2 M with the constants of B eq. 10.12, for a learner of that accuracy: with an error of e
    on each of M functions it tells them apart if they are 2 e apart."""
    packing = rotation_packing if count == "rotations" else orbit_packing
    found = packing(d, 2 * (1 - float(target)))
    return {"D": found.dimension, "C": found.constant, "delta": found.radius, "bits": found.bits}


def orbit_rank(rotation: Float[np.ndarray, "d d"]) -> int:
    """The number of independent directions in which `R' Q R` moves as the orthogonal `R` does: the
    rank of `X -> A X - X A` over antisymmetric X, where `A = R' Q R`."""
    d = len(rotation)
    [a] = orbit(rotation[None])
    i, j = np.tril_indices(d, -1)
    x = np.zeros((len(i), d, d))  # one that turns each pair of coordinates
    x[np.arange(len(i)), i, j], x[np.arange(len(i)), j, i] = 1, -1
    return int(np.linalg.matrix_rank((a @ x - x @ a).reshape(len(i), -1)))


MOVES = "a rotation at which h* o R moves in another number of independent directions"


def counted(ranks: Records, count: str) -> Verdict:
    """The ranks against a count."""
    found = ", ".join(
        f"d = {d}: {'/'.join(map(str, sorted(set(of))))} against {dimension(count, d)}"
        for d, of in ranks.by("d", of="rank").items()
    )
    wrong = (row["rank"] != dimension(count, row["d"]) for row in ranks)
    return lab.none_of(wrong, f"counts ({found})")


def bits(bounds: Records, d: int, count: str, target: str = TARGET) -> float:
    """log2 M in a dimension."""
    return bounds.where(d=d, count=count, target=target)["bits"][0]


def mean_needed(needed: Records, net: str, d: int, target: str = TARGET) -> Estimate:
    """n over seeds, without an interval where one of them did not get there."""
    sizes = needed.where(net=net, d=d, target=target)["n"]
    there = [n for n in sizes if n is not None]
    found = lab.estimate(there or [math.inf])
    if None not in sizes:
        return found
    return Estimate(found.mean, 0.0, len(there), -math.inf, math.inf)


def at_least_the_bound(needed: Records, bounds: Records, count: str) -> Verdict:
    """n of the fully connected net against log2 M, dimension by dimension."""
    n = lambda d: mean_needed(needed, "fc_sgd", d)
    above = lambda d: lab.at_least(n(d), bits(bounds, d, count), f"d = {d}: n against log2 M")
    return lab.all_of(map(above, sorted({*needed["d"]})))


@question.answer
def answer(needed: Records, bounds: Records) -> str:
    d = max(needed["d"])
    n, least = mean_needed(needed, "fc_sgd", d).mean, bits(bounds, d, "orbit")
    return (
        f"{n / least:.0f} times: {n:,.0f} examples in dimension {d}, where log2 M is {least:,.0f}; "
        f"the convolutional net, which the bound does not hold for, needs "
        f"{mean_needed(needed, 'conv', d).mean:.0f}."
    )


@question.claim("B 10.2, eqs. 10.12 and 10.13", MOVES, instead="parameters")
def parameters_printed(ranks: Records) -> Verdict:
    """As printed: the functions h* o R have D = d (d - 1) / 2 parameters, those of R."""
    return counted(ranks, "rotations")


@question.claim("B 10.2, eqs. 10.12 and 10.13", MOVES)
def parameters(ranks: Records) -> Verdict:
    """The functions h* o R have (d / 2)^2 parameters: a rotation that mixes coordinates of one half
    only leaves h* as it is."""
    return counted(ranks, "orbit")


@question.claim("B eq. 10.14", "an exponent of log2 M that is not 2.0 to one decimal")
def growth(growth: Sequence[int], bounds: Records) -> Verdict:
    """log2 M grows as d^2, by either count."""
    exponent = lambda count: power(growth, [bits(bounds, d, count) for d in growth])
    two = lambda c: lab.between(exponent(c), 1.95, 2.05, f"exponent of log2 M, {COUNTS[c]}")
    return lab.all_of(map(two, COUNTS))


@question.claim("B eq. 10.14", "a dimension in which it reached 95 % with fewer")
def above_printed(needed: Records, bounds: Records) -> Verdict:
    """The fully connected net trained by SGD needs at least log2 M samples, with M as printed, by
    the volume of O(d)."""
    return at_least_the_bound(needed, bounds, "rotations")


@question.claim("B eq. 10.14", "a dimension in which it reached 95 % with fewer")
def above(needed: Records, bounds: Records) -> Verdict:
    """The fully connected net trained by SGD needs at least log2 M samples, with M by the volume of
    the class itself."""
    return at_least_the_bound(needed, bounds, "orbit")


@question.claim("B eq. 10.14", "a ratio of n to log2 M with an exponent outside -0.25 to 0.25")
def same_growth(needed: Records, bounds: Records, per_octave: int) -> Verdict:
    """The bound is of the right order: what the fully connected net needs grows with d as log2 M of
    the class itself does."""
    found = needed.where(net="fc_sgd", target=TARGET)
    least = {d: bits(bounds, d, "orbit") for d in found["d"]}
    ratios = [
        None if n is None else n / least[d] for d, n in zip(found["d"], found["n"], strict=True)
    ]
    what = "exponent of n / log2 M, fully connected, SGD"
    return lab.between(power(found["d"], ratios, per_octave), -0.25, 0.25, what)


@question.claim("B 10.2", "no fewer samples there than log2 M of the class itself")
def escapes(needed: Records, bounds: Records) -> Verdict:
    """The convolutional net, which is not orthogonally equivariant, is not bound by log2 M: it
    learns with fewer samples in the largest dimension."""
    d = max(needed["d"])
    what = f"d = {d}: n of the convolutional net against log2 M"
    return lab.at_most(mean_needed(needed, "conv", d), bits(bounds, d, "orbit"), what)


@question.table
def beside(needed: Records, bounds: Records) -> Iterator[lab.Table]:
    """The bound beside what was needed."""
    for target in needed.by("target"):
        rows, p = [], float(target)
        for d in sorted({*needed["d"]}):
            n = {net: mean_needed(needed, net, d, target).mean for net in NETS}
            printed, least = (bits(bounds, d, count, target) for count in COUNTS)
            rows.append({
                "d": d, "log2 M, printed": f"{printed:.0f}", "log2 M, of the class": f"{least:.0f}",
                "n / d^2, fully connected": f"{n['fc_sgd'] / d**2:.2f}",
                **{name: f"{n[net]:.0f}" for net, name in NETS.items()},
                "bits a sample, fully connected, SGD": f"{least / n['fc_sgd']:.3f}",
            })  # fmt: skip
        entropy = -p * math.log2(p) - (1 - p) * math.log2(1 - p)  # of a coin, in bits
        title = f"Bound and mean n for {p:.0%} of test accuracy. A label that is foreseen with "
        yield lab.Table.of(f"{title}that accuracy carries {entropy:.2f} bits", rows)


@question.table
def constants(needed: Records, bounds: Records) -> Rows:
    """log2 M = D log2(C / delta), functions apart by twice an error of 5 %"""
    for row in bounds.where(target=TARGET, d={*needed["d"]}):
        yield {
            "d": row["d"], "counted": COUNTS[row["count"]], "D": row["D"], "C": f"{row['C']:.3f}",
            "delta": f"{row['delta']:.3f}", "log2 M": f"{row['bits']:.0f}",
        }  # fmt: skip


@question.figure(10, 4.2)
def bound(figure: Figure, needed: Records, bounds: Records) -> None:
    """Examples n that a net needs in dimension d, mean over the seeds, and the bound log2 M by each
    count of the functions; a panel for each accuracy that is aimed at."""
    dimensions = sorted({*needed["d"]})
    for target, axes in by_target(figure, needed).items():
        for net in ("conv", "fc_sgd"):
            n = [mean_needed(needed, net, d, target).mean for d in dimensions]
            axes.plot(dimensions, n, "o-", color=COLOURS[net], label=f"$n$, {NETS[net]}")
        for count, name in COUNTS.items():
            least = [bits(bounds, d, count, target) for d in dimensions]
            axes.plot(dimensions, least, STYLES[count], color="black", label=rf"$\log_2 M$: {name}")
        against_dimension(axes, needed, target)
    figure.axes[0].set_ylabel("training examples $n$, or bits")


@question.figure(6, 3.8, serves="parameters")
def count(figure: Figure, ranks: Records) -> None:
    """The parameters of the class: counted at random rotations (dots), by the chapter's formula and
    by the one for functions (lines)."""
    axes = figure.subplots()
    d = sorted({*ranks["d"]})
    for count, name in COUNTS.items():
        axes.plot(d, [dimension(count, at) for at in d], STYLES[count], color="black", label=name)
    axes.plot(ranks["d"], ranks["rank"], "o", color="tab:blue", label="rank at random rotations")
    axes.set(xlabel="dimension d of the input", ylabel=r"parameters of the functions $h^* \circ R$")
    axes.set_xticks(d)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


main = lab.command(question)

if __name__ == "__main__":
    main()
