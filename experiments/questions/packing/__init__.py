"""The rotated tasks of B 10.2: how far apart they are, and how many of them fit into a set."""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from experiments.packing import figures
from experiments.packing.estimates import (
    ball_exponent,
    constant_by_d,
    disagreement,
    full_packings,
    halves,
    logs,
    packing_exponent,
    pooled,
    power_of_d,
    rank_correlation,
)
from experiments.packing.sets import SPACES, balls, dimension, packings, small_ball
from experiments.packing.tasks import APART, SAME, compare_pairs

from cnnlab import lab
from cnnlab.lab import Cells, Count, Positive, Records, Rows, Verdict

Two = Annotated[int, "whole number >= 2"]
Twos = Annotated[Sequence[int], "list of at least 2 whole numbers >= 2"]
Dimensions = Annotated[Sequence[int], "list of at least 2 even whole numbers >= 2"]
Draws = Annotated[int, "whole number >= 10"]
# Two dimensions are in question, d(d-1)/2 and p(d-p), a third apart or more from d = 3 on: half of
# that is neither.
NEAR = 0.15
LOW = "a rank correlation over nearby pairs below 0.9 (1: always)"

question = lab.Question(
    "packing",
    "How far apart are the rotated tasks, and how many of them are there?",
    note="(10.11) fails as printed: a rotation among the coordinates of one sign leaves Q, and so "
    "the function, as it is, however large ||R1 - R2||_F. What separates the functions is "
    "||A1 - A2||_F with A = R^T Q R, and its c falls as 1/sqrt(d), so that epsilon is constant for "
    "delta of the order of sqrt(d). The functions have the orbit's dimension, (d/2)^2 instead of "
    "d(d-1)/2: still of the order of d^2, as (10.13) has it. Balls that fit into the space bound M "
    "from above; the lower bound that (10.13) needs comes from balls that cover it. The packings "
    "that can be found, of some hundred points, are at distances that are not small beside the "
    "space, where M grows faster than delta^-D: the dimension is measured on small balls. (10.13) "
    "itself, exp(Omega(d^2)) of them at a constant distance, is about large d and is not judged: "
    "up to d = 5 the exponents of log M, in a table below, say nothing for or against it.",
)


@question.measure(
    full={
        "dimensions": [2, 4, 8, 16, 32, 64], "pairs": 30, "inputs": 30000, "seeds": 5,
        "one_of": [16, 32, 64, 128, 256], "walkers": 20000, "draws": 100000, "largest": 10000,
    },
)  # fmt: skip
def measure(
    cells: Cells,
    *,
    seed: int,
    dimensions: Annotated[Dimensions, "d of the pairs; p = d/2 have a plus"] = (2, 4, 8, 16, 32),
    pairs: Annotated[Two, "of each kind, d and seed"] = 15,
    inputs: Annotated[Count, "Gaussian inputs on which a pair is compared"] = 10000,
    seeds: Annotated[Count, "sets of pairs, and packings"] = 3,
    packed: Annotated[Twos, "d of the packings; p = d/2, rounded down"] = (2, 3, 4, 5),
    one_of: Annotated[Twos, "distances: within each is one of so many"] = (8, 16, 32, 64),
    spread: Annotated[Positive, "and one for all d: ||R1 - R2||_F / sqrt(d), the same of A"] = 1.1,
    disagreement: Annotated[Positive, "which it is for functions"] = 0.25,
    signs: Annotated[Count, "inputs that stand for all in the disagreement of functions"] = 1000,
    draws: Annotated[Draws, "random points by which the volume of balls is measured"] = 30000,
    patience: Annotated[Positive, "a packing of m ends after so many times m refusals"] = 10.0,
    largest: Annotated[Two, "or at so many points, and then does not count"] = 4000,
    radius: Annotated[Positive, "of the small balls whose volume is measured"] = 0.3,
    walkers: Annotated[Count, "random points in each of them"] = 2000,
    walk: Annotated[Count, "steps of the random walk to each"] = 150,
) -> dict[str, Any]:
    """Pairs of each kind and d; balls and packings of each space and d."""
    several = range(seed, seed + seeds)
    compare = functools.partial(compare_pairs, pairs=pairs, inputs=inputs)
    compared = cells.records("pairs", compare, d=dimensions, kind=(*APART, SAME), seed=several)
    points = lambda space: draws // (10 if space == "functions" else 1)
    volumes = lambda space, d: balls(space, d, one_of, signs=signs, draws=points(space), seed=seed)
    found = cells.records("balls", volumes, space=SPACES, d=packed)
    near = functools.partial(small_ball, radius=radius, walkers=walkers, steps=walk, seed=seed)
    small = cells.records("small ball", near, space=("rotations", "orbit"), d=packed)

    def sets(space: str, d: int, seed: int) -> list[dict[str, Any]]:
        known = found.where(space=space, d=d)
        distances = dict(zip(known["one_of"], known["distance"], strict=True))
        distances[None] = math.sqrt(disagreement if space == "functions" else spread**2 * d)
        end = {"patience": patience, "largest": largest}
        return packings(space, d, distances, signs=signs, **end, seed=seed)

    sizes = cells.records("packings", sets, space=SPACES, d=packed, seed=several)
    return {"pairs": compared, "balls": found, "small": small, "packings": sizes}


@question.answer
def answer(pairs: Records) -> str:
    return (
        f"By ||A1 - A2||_F with A = R^T Q R, not by ||R1 - R2||_F, and with a constant that falls "
        f"as d^{power_of_d(pairs).mean:.2f}; the functions have (d/2)^2 dimensions, not d(d-1)/2."
    )


@question.claim(
    "B Problem 10.2.3 (i)",
    "an input where the labels differ and the product is positive, or the other way round",
)
def product(pairs: Records) -> Verdict:
    """Two tasks disagree on x exactly where (x^T A1 x)(x^T A2 x) < 0, with A = R^T Q R."""
    return lab.exact(pairs["not_product"], pairs["inputs"], "inputs", "contradict it")


@question.claim(
    "B eq. 10.11",
    "rotations far apart that agree on all inputs, where independent ones suggest a c",
    instead="corrected",
)
def printed(pairs: Records) -> Verdict:
    """For some constant c > 0, dist(h* o R1, h* o R2) >= c ||R1 - R2||_F."""
    independent, same = (pairs.where(kind=kind) for kind in ("independent", SAME))
    c = min(disagreement(pair).low / pair["rotations"] for pair in independent)
    share = lab.proportion(sum(same["disagree"]), sum(same["inputs"]))
    far = lab.estimate(same["rotations"]).mean
    names = ("mean", "deviation", "low", "high")
    ratio = replace(share, **{name: getattr(share, name) / far for name in names})
    what = f"disagreement / ||R1 - R2||_F (mean {far:.3g}) of rotations with the same R^T Q R"
    return lab.at_least(ratio, c, what)


@question.claim(
    "B eq. 10.11, corrected",
    "a pair of the other half whose disagreement is certainly (95 %) less",
)
def corrected(pairs: Records) -> Verdict:
    """dist(h* o R1, h* o R2) >= c ||A1 - A2||_F with A = R^T Q R: c fitted on half the pairs."""
    c, others = constant_by_d(pairs), halves(pairs)[1]
    below = sum(disagreement(pair).high < c[pair["d"]] * pair["orbit"] for pair in others)
    smallest = min(value * math.sqrt(d) for d, value in c.items())
    what = f"of {len(others)} pairs, those certainly below c ||A1 - A2||_F"
    return lab.all_of(
        lab.at_most(below, 0, what),
        # A quarter of the 1/pi that nearby pairs have in theory; zero would be no bound at all.
        lab.at_least(smallest, 0.25 / math.pi, "smallest c sqrt(d)"),
    )


@question.claim("B eq. 10.11", "a power of d outside -0.1 to 0.1", instead="root")
def constant(pairs: Records) -> Verdict:
    """c is a constant: the same for every d."""
    return lab.between(power_of_d(pairs), -0.1, 0.1, "power of d in c")


@question.claim("B eq. 10.11, corrected", "a power of d outside -0.6 to -0.4")
def root(pairs: Records) -> Verdict:
    """c falls as 1 / sqrt(d): a disagreement is at most 1, while ||A1 - A2||_F is about sqrt(2 d)
    for independent rotations."""
    return lab.between(power_of_d(pairs), -0.6, -0.4, "power of d in c")


@question.claim("B Problem 10.2.3 (ii)", LOW, instead="more_different_orbit")
def more_different(pairs: Records) -> Verdict:
    """The probability of disagreement increases as R1 and R2 become more different, read as: with
    ||R1 - R2||_F."""
    return lab.at_least(rank_correlation(pairs, "rotations"), 0.9, "rank correlation")


@question.claim("B Problem 10.2.3 (ii), corrected", LOW)
def more_different_orbit(pairs: Records) -> Verdict:
    """The probability of disagreement increases with ||A1 - A2||_F."""
    return lab.at_least(rank_correlation(pairs, "orbit"), 0.9, "rank correlation")


@question.claim("B Problem 10.2.3, footnote", "a rank correlation of the two that is not positive")
def related(pairs: Records) -> Verdict:
    """The probability of disagreement relates to the probability that v1 . v2 < 0 with v = A x:
    among nearby pairs, those that have more of the one tend to have more of the other."""
    return lab.at_least(rank_correlation(pairs, "negative"), 0.0, "rank correlation")


@question.claim(
    "B Problem 10.2.3, footnote",
    "a mean difference of the two of more than 0.01",
    instead="related",
)
def hint(pairs: Records) -> Verdict:
    """The probability of disagreement relates to the probability that v1 . v2 < 0 with v = A x,
    read as: it is that probability."""
    apart = pairs.where(kind=APART)
    differences = [abs(p["disagree"] - p["negative"]) / p["inputs"] for p in apart]
    return lab.at_most(lab.estimate(differences), 0.01, "|P[v1.v2 < 0] - P[disagree]|")


@question.claim("B 10.2", "a packing outside the two ratios of volumes")
def volume(balls: Records, packings: Records) -> Verdict:
    """A packing has no more points than balls of radius delta/2 fit by volume, and a full one at
    least as many as balls of radius delta need to cover the space."""
    outside, by_volume = [], balls.by("space", "d", "one_of")
    # Of functions, no group leaves the finite sample of inputs alone.
    for packing in full_packings(packings.where(space=("rotations", "orbit"))):
        [ball] = by_volume[packing["space"], packing["d"], packing["one_of"]]
        least = lab.proportion(ball["half"], ball["draws"]).low
        most = lab.proportion(ball["within"], ball["draws"]).high
        outside.append(packing["m"] * least > 1 or packing["m"] * most < 1)
    return lab.none_of(outside, "packings", "are outside the bounds by volume")


def exponents(small: Records, space: str, of: str) -> Verdict:
    """The exponents of a space's balls, over the dimension of the space that they should be of."""
    found = []
    for ball in small.where(space=space):
        expected, e = dimension(of, ball["d"]), ball_exponent(ball)
        ratio = replace(e, mean=e.mean / expected, low=e.low / expected, high=e.high / expected)
        found.append(lab.between(ratio, 1 - NEAR, 1 + NEAR, f"d = {ball['d']}, / {expected}"))
    return lab.all_of(*found)


@question.claim("B eq. 10.12", "an exponent more than 15 % from D, for some d")
def rotations(small: Records) -> Verdict:
    """The volume of a ball of rotations grows as delta^D, and so M as (C/delta)^D, with
    D = d(d-1)/2."""
    return exponents(small, "rotations", "rotations")


@question.claim(
    "B eq. 10.12",
    "an exponent of the balls of ||Ai - Aj||_F more than 15 % from D, for some d",
    instead="functions",
)
def functions_printed(small: Records) -> Verdict:
    """There are as many functions as rotations: D = d(d-1)/2 for them, too."""
    return exponents(small, "orbit", "rotations")


@question.claim(
    "B eq. 10.12, corrected", "an exponent of these balls more than 15 % from D, for some d"
)
def functions(small: Records) -> Verdict:
    """For functions, by ||Ai - Aj||_F, D is the orbit's dimension p (d - p): (d/2)^2 for the
    chapter's task."""
    return exponents(small, "orbit", "functions")


@question.table
def constants(pairs: Records) -> Rows:
    """disagreement / (||A1 - A2||_F / sqrt(d))"""
    dims, fitted = sorted({*pairs["d"]}), constant_by_d(pairs)
    for kind, found in pairs.where(kind=APART).by("kind").items():
        sets = {d: found.where(d=d).by("seed").values() for d in dims}
        by_d = {d: lab.estimate([pooled(p) * math.sqrt(d) for p in of]) for d, of in sets.items()}
        cells = {f"d = {d}": f"{e.mean:.3f}" for d, e in by_d.items()}
        yield {"pairs": kind, **cells, "n": by_d[dims[0]].n}
    cells = {f"d = {d}": f"{fitted[d] * math.sqrt(d):.3f}" for d in dims}
    yield {"pairs": "c fitted", **cells, "n": ""}


@question.table
def correlations(pairs: Records) -> Rows:
    """Rank correlation of the disagreement of nearby pairs with"""
    for name, of in (("R", "rotations"), ("A", "orbit")):
        yield {"": f"||{name}1 - {name}2||_F", "mean": str(rank_correlation(pairs, of))}


@question.table
def exponents_found(small: Records, packings: Records) -> Rows:
    """Exponents: of the volume of small balls, and of M in 1/delta for the packings found"""
    for (space, d), of in packings.by("space", "d").items():
        found, ball = packing_exponent(of), small.where(space=space, d=d)
        yield {
            "space": space, "d": d,
            "d(d-1)/2": dimension("rotations", d), "p(d-p)": dimension("functions", d),
            "small balls": str(ball_exponent(ball[0])) if ball else "",
            "packings [95 %]": f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]",
            "n": found.n,
        }  # fmt: skip


@question.table
def growth(packings: Records) -> Rows:
    """Exponents of log M at a constant distance, and of the dimension over the same d [95 %]"""
    several = packings.where(lambda packing: packing["m"] > 1, one_of=None, full=True)
    for space, of in several.by("space").items():
        power = lambda y, of=of: lab.slope(logs(of["d"]), logs(y))
        known = power([dimension(space, d) for d in of["d"]]).mean
        found = {"log M": str(power(logs(of["m"]))), "dimension": f"{known:.2f}"}
        yield {"space": space, **found}


@question.table
def sizes(packings: Records) -> Rows:
    """At a constant distance"""
    for (space, d), of in packings.where(one_of=None).by("space", "d").items():
        m = lab.estimate(of["m"])
        yield {
            "space": space, "d": d, "distance": f"{of[0]['distance']:.3f}", "M": f"{m.mean:.1f}",
            "deviation": f"{m.deviation:.1f}", "log M / d^2": f"{math.log(m.mean) / d**2:.2f}",
            "n": m.n,
        }  # fmt: skip


question.figure(10, 4, serves="corrected")(figures.pairs)
question.figure(6, 4, serves="root")(figures.constants)
question.figure(10, 4, serves="rotations")(figures.packings)

main = lab.command(question)
