"""What pairs and packings of rotated tasks say: constants, correlations and exponents."""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

from experiments.packing.tasks import APART
from scipy.stats import spearmanr

from cnnlab import lab
from cnnlab.lab import Estimate, Records

# The same counts are asked for again and again.
share = functools.cache(lab.proportion)


def pooled(pairs: Records) -> float:
    """The disagreement of several pairs over their distance on the orbit, sum over sum."""
    return sum(pairs["disagree"]) / pairs[0]["inputs"] / sum(pairs["orbit"])


def disagreement(pair: dict) -> Estimate:
    """Its probability, with its interval."""
    return share(pair["disagree"], pair["inputs"])


def halves(pairs: Records) -> tuple[Records, Records]:
    """The pairs with another task each, every other one: to fit c, and to test it."""
    apart = pairs.where(kind=APART)
    return Records(apart[::2]), Records(apart[1::2])


def constant_by_d(pairs: Records) -> dict[int, float]:
    """c of the corrected relation: the largest that no pair of the first half contradicts, by the
    lower ends of the intervals."""
    found = halves(pairs)[0].by("d")
    least = lambda of: min(disagreement(pair).low / pair["orbit"] for pair in of)
    return {d: least(found[d]) for d in sorted(found)}


def power_of_d(pairs: Records) -> Estimate:
    """By which c grows, over each kind of pairs and seed."""
    sets = pairs.where(kind=APART).by("d", "kind", "seed")
    log = lambda values: [math.log(v) for v in values]
    return lab.slope(log(d for d, *_ in sets), log(pooled(of) for of in sets.values()))


def rank_correlation(pairs: Records, of: str) -> Estimate:
    """Spearman's, of disagreement and matrix distance, over the sets of nearby pairs."""
    sets = pairs.where(kind="nearby").by("d", "seed").values()
    correlation = lambda found: float(spearmanr(found[of], found["disagree"]).statistic)
    return lab.estimate([correlation(found) for found in sets])


def full_packings(packings: Records) -> Records:
    """Without those at the constant distance."""
    return Records(p for p in packings.where(full=True) if p["one_of"] is not None)


def packing_exponent(packings: Records) -> Estimate:
    """The exponent of M in 1/delta. Of functions, the distance measured is the square root of the
    disagreement, which is their delta."""
    power = 2 if packings[0]["space"] == "functions" else 1
    full = full_packings(packings)
    return line([(-power * math.log(p["distance"]), math.log(p["m"])) for p in full])


def line(points: Sequence[tuple[float, float]]) -> Estimate:
    """The slope through points; without two places to go by, anything."""
    if len({x for x, _ in points}) < 2:
        return Estimate(0.0, 0.0, len(points), -math.inf, math.inf)
    return lab.slope(*zip(*points, strict=True))


def ball_exponent(ball: dict) -> Estimate:
    """The power of the radius by which the volume of a small ball grows."""
    found = lab.proportion(ball["inside"], ball["walkers"])
    power = lambda v: math.log(v) / math.log(ball["fraction"]) if v > 0 else math.inf
    return replace(found, mean=power(found.mean), low=power(found.high), high=power(found.low))
