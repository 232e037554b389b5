"""What pairs and packings of rotated tasks say: constants, correlations and exponents."""

import functools
import math
from collections.abc import Iterable
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
    return lab.slope(logs(d for d, *_ in sets), logs(pooled(of) for of in sets.values()))


def logs(values: Iterable[float]) -> list[float]:
    return [math.log(value) for value in values]


def rank_correlation(pairs: Records, of: str) -> Estimate:
    """Spearman's, of disagreement and matrix distance, over the sets of nearby pairs."""
    sets = pairs.where(kind="nearby").by("d", "seed").values()

    def correlation(found: Records) -> float:
        if len({*found[of]}) == 1 or len({*found["disagree"]}) == 1:
            return 0.0  # what does not vary goes along with nothing
        return float(spearmanr(found[of], found["disagree"]).statistic)

    return lab.estimate([correlation(found) for found in sets])


def full_packings(packings: Records) -> Records:
    """Without those at the constant distance."""
    return packings.where(lambda packing: packing["one_of"] is not None, full=True)


def inverse_deltas(packings: Records) -> list[float]:
    """1/delta of each. Of functions, the distance measured is the square root of the disagreement,
    which is their delta."""
    return [p["distance"] ** (-2 if p["space"] == "functions" else -1) for p in packings]


def packing_exponent(packings: Records) -> Estimate:
    """The exponent of M in 1/delta."""
    full = full_packings(packings)
    return lab.slope(logs(inverse_deltas(full)), logs(full["m"]))


def ball_exponent(ball: dict) -> Estimate:
    """The power of the radius by which the volume of a small ball grows."""
    found = lab.proportion(ball["inside"], ball["walkers"])
    power = lambda v: math.log(v) / math.log(ball["fraction"]) if v > 0 else math.inf
    return replace(found, mean=power(found.mean), low=power(found.high), high=power(found.low))
