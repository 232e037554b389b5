"""The rotated tasks of B 10.2: how far apart they are, and how many of them fit into a set."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnnlab.lab.verdict import estimate
from experiments._packing_verdicts import (
    APART,
    DIMENSIONS,
    SPACES,
    ball_exponent,
    constant_by_d,
    dimensions_found,
    judge,
    pooled,
    rank_correlations,
)
from experiments._question import Claim, Question, Table, entry

if TYPE_CHECKING:  # jax and matplotlib load when a measurement begins, not for --help
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.lab.cells import Cells

CLAIMS = (
    Claim(
        "product",
        "B Problem 10.2.3 (i)",
        "Two tasks disagree on x exactly where (x^T A1 x)(x^T A2 x) < 0, with A = R^T Q R.",
        "an input where the labels differ and the product is positive, or the other way round",
    ),
    Claim(
        "printed",
        "B eq. 10.11",
        "For some constant c > 0, dist(h* o R1, h* o R2) >= c ||R1 - R2||_F.",
        "rotations far apart that agree on all inputs, where independent ones suggest a c",
    ),
    Claim(
        "corrected",
        "B eq. 10.11, corrected",
        "dist(h* o R1, h* o R2) >= c ||A1 - A2||_F with A = R^T Q R: c fitted on half the pairs.",
        "a pair of the other half whose disagreement is certainly (95 %) less",
    ),
    Claim(
        "constant",
        "B eq. 10.11",
        "c is a constant: the same for every d.",
        "a power of d outside -0.1 to 0.1",
    ),
    Claim(
        "root",
        "B eq. 10.11, corrected",
        "c falls as 1 / sqrt(d): a disagreement is at most 1, while ||A1 - A2||_F is about "
        "sqrt(2 d) for independent rotations.",
        "a power of d outside -0.6 to -0.4",
    ),
    Claim(
        "more_different",
        "B Problem 10.2.3 (ii)",
        "The probability of disagreement increases as R1 and R2 become more different, read as: "
        "with ||R1 - R2||_F.",
        "a rank correlation over nearby pairs below 0.9 (1: always)",
    ),
    Claim(
        "more_different_orbit",
        "B Problem 10.2.3 (ii), corrected",
        "The probability of disagreement increases with ||A1 - A2||_F.",
        "a rank correlation over nearby pairs below 0.9 (1: always)",
    ),
    Claim(
        "hint",
        "B Problem 10.2.3, footnote",
        "The probability of disagreement relates to the probability that v1 . v2 < 0 with v = A x, "
        "read as: it is that probability.",
        "a mean difference of the two of more than 0.01",
    ),
    Claim(
        "volume",
        "B 10.2",
        "A packing has no more points than balls of radius delta/2 fit by volume, and a full one "
        "at least as many as balls of radius delta need to cover the space.",
        "a packing outside the two ratios of volumes",
    ),
    Claim(
        "rotations",
        "B eq. 10.12",
        "The volume of a ball of rotations grows as delta^D, and so M as (C/delta)^D, with D = "
        "d(d-1)/2.",
        "an exponent more than 15 % from D, for some d",
    ),
    Claim(
        "functions_printed",
        "B eq. 10.12",
        "There are as many functions: D = d(d-1)/2 for them, too.",
        "an exponent of the balls of ||Ai - Aj||_F more than 15 % from D, for some d",
    ),
    Claim(
        "functions",
        "B eq. 10.12, corrected",
        "For functions, by ||Ai - Aj||_F, D is the orbit's dimension p (d - p): (d/2)^2 for the "
        "chapter's task.",
        "an exponent of these balls more than 15 % from D, for some d",
    ),
    Claim(
        "exponential",
        "B eq. 10.13",
        "At a constant distance the packings have exp(Omega(d^2)) points: log M grows with d^2.",
        "a slope of log M in d^2 that is not above 0, for rotations, orbit or functions",
    ),
)


def measure(cfg: "DictConfig", cells: "Cells") -> dict[str, Any]:
    """Pairs of each kind and d; balls and packings of each space and d."""
    from experiments import _packing as lab

    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    work = {}
    for d in cfg.dimensions:
        for kind in (*APART, "same task"):
            for s in seeds:
                work[f"{kind}, d = {d}, seed {s}"] = lambda k=kind, d=d, s=s: lab.compare_pairs(
                    k, d, d // 2, cfg.pairs, cfg.inputs, s
                )
    pairs = cells.all(work)
    draws = {space: cfg.draws // (10 if space == "functions" else 1) for space in SPACES}
    places = [(space, d) for space in SPACES for d in cfg.packed]
    balls = cells.all({
        f"{space}, d = {d}, balls": lambda v=space, d=d: lab.balls(
            v, d, d // 2, [1 / m for m in cfg.one_of], cfg.signs, draws[v], cfg.seed
        )
        for space, d in places
    })  # fmt: skip
    small = cells.all({
        f"{space}, d = {d}, small ball": lambda v=space, d=d: lab.small_ball(
            v, d, d // 2, cfg.radius, walkers=cfg.walkers, steps=cfg.walk, seed=cfg.seed
        )
        for space, d in places
        if space != "functions"
    })  # fmt: skip
    work = {}
    for space, d in places:
        spread = math.sqrt(cfg.disagreement if space == "functions" else cfg.spread**2 * d)
        distances = [*balls[f"{space}, d = {d}, balls"]["distances"], spread]
        for s in seeds:
            work[f"{space}, d = {d}, packings, seed {s}"] = lambda v=space, d=d, t=distances, s=s: (
                lab.packings(
                    v, d, d // 2, t, signs=cfg.signs, patience=cfg.patience,
                    largest=cfg.largest, seed=s,
                )
            )  # fmt: skip
    sets = cells.all(work)
    return {
        "pairs": [
            {"kind": k, "d": d, "seed": s, **pairs[f"{k}, d = {d}, seed {s}"]}
            for d in cfg.dimensions for k in (*APART, "same task") for s in seeds
        ],
        "packings": [
            {
                "space": space, "d": d, "dimension": lab.dimension(space, d, d // 2),
                "balls": balls[f"{space}, d = {d}, balls"],
                "small": small.get(f"{space}, d = {d}, small ball"),
                "sets": [sets[f"{space}, d = {d}, packings, seed {s}"] for s in seeds],
            }
            for space, d in places
        ],
    }  # fmt: skip


def tables(data: Mapping[str, Any]) -> list[Table]:
    """c by kind of pair and d; rank correlations; exponents; packings at a constant distance."""
    dims = sorted({p["d"] for p in data["pairs"]})
    constants = []
    for kind in APART:
        row = [estimate([pooled(p) * math.sqrt(d) for p in data["pairs"]
                         if (p["kind"], p["d"]) == (kind, d)]) for d in dims]  # fmt: skip
        constants.append([kind, *(f"{e.mean:.3f}" for e in row), row[0].n])
    fitted = constant_by_d(data)
    constants.append(["c fitted", *(f"{fitted[d] * math.sqrt(d):.3f}" for d in dims), ""])
    ranks = [[f"||{x}1 - {x}2||_F", str(estimate(rank_correlations(data, of)))]
             for x, of in (("R", "rotations"), ("A", "orbit"))]  # fmt: skip
    exponents, sizes = [], []
    for place in data["packings"]:
        found = dimensions_found(place)
        d, last = place["d"], [s[-1] for s in place["sets"]]
        ball = str(ball_exponent(place)) if place["small"] else ""
        candidates = [d * (d - 1) // 2, DIMENSIONS["functions"](d)]
        slope = f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"
        exponents.append([place["space"], d, *candidates, ball, slope, found.n])
        m = estimate([s["m"] for s in last])
        sizes.append([place["space"], d, f"{last[0]['distance']:.3f}", f"{m.mean:.1f}",
                      f"{m.deviation:.1f}", f"{math.log(m.mean) / d**2:.2f}", m.n])  # fmt: skip
    return [
        Table("disagreement / (||A1 - A2||_F / sqrt(d))",
              ["pairs", *(f"d = {d}" for d in dims), "n"], constants),
        Table("Rank correlation of the disagreement of nearby pairs with", ["", "mean"], ranks),
        Table("Exponents: of the volume of small balls, and of M in 1/delta for the packings found",
              ["space", "d", "d(d-1)/2", "p(d-p)", "small balls", "packings [95 %]", "n"],
              exponents),
        Table("At a constant distance", ["space", "d", "distance", "M", "deviation",
                                         "log M / d^2", "n"], sizes),
    ]  # fmt: skip


def draw(data: Mapping[str, Any]) -> "dict[str, Figure]":
    """Disagreement against both matrix distances; c against d; sizes of packings."""
    from experiments import _packing_figures as figures

    return {
        "pairs": figures.pairs(data),
        "constants": figures.constants(data),
        "packings": figures.packings(data),
    }


QUESTION = Question(
    name="packing",
    title="How far apart are the rotated tasks, and how many of them are there?",
    claims=CLAIMS,
    measure=measure,
    judge=judge,
    tables=tables,
    draw=draw,
    note="(10.11) fails as printed: a rotation among the coordinates of one sign leaves Q, and so "
    "the function, as it is, however large ||R1 - R2||_F. What separates the functions is "
    "||A1 - A2||_F with A = R^T Q R, and its c falls as 1/sqrt(d), so that epsilon is constant for "
    "delta of the order of sqrt(d). The functions have the orbit's dimension, (d/2)^2 instead of "
    "d(d-1)/2: still of the order of d^2, and (10.13) stands. Balls that fit into the space bound "
    "M from above; the lower bound that (10.13) needs comes from balls that cover it. The packings "
    "that can be found, of some hundred points, are at distances that are not small beside the "
    "space, where M grows faster than delta^-D: the dimension is measured on small balls.",
)
main = entry(QUESTION)

if __name__ == "__main__":
    main()
