"""What the pairs and packings of rotated tasks say of B (10.11) to (10.13): from data alone."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cnnlab.lab.verdict import (
    Estimate,
    Verdict,
    all_of,
    at_least,
    at_most,
    between,
    estimate,
    exact,
    proportion,
    slope,
)

# The same counts are asked for again and again.
_share = functools.cache(proportion)
APART = ("independent", "nearby", "one plane")  # kinds of pairs with another task each
SPACES = ("rotations", "orbit", "functions")
DIMENSIONS = {
    "rotations": lambda d: d * (d - 1) // 2,
    "functions": lambda d: (d // 2) * (d - d // 2),
}
# The two dimensions in question, d(d-1)/2 and p(d-p), are a third apart or more from d = 3 on:
# half of that is neither.
NEAR = 0.15

Data = Mapping[str, Any]


def judge(data: Data) -> dict[str, Verdict]:
    """A verdict for each claim of the question."""
    products = [p["not_product"] for p in data["pairs"]]
    compared = sum(p["inputs"] * len(p["disagree"]) for p in data["pairs"])
    power = slope(*_constants(data))
    hints = [
        abs(d - n) / p["inputs"]
        for p in _kinds(data, APART)
        for d, n in zip(p["disagree"], p["negative"], strict=True)
    ]
    return {
        "product": exact(sum(products), compared, "inputs"),
        "printed": _printed(data),
        "corrected": _corrected(data),
        "constant": between(power, -0.1, 0.1, "power of d in c"),
        "root": between(power, -0.6, -0.4, "power of d in c"),
        "more_different": at_least(
            estimate(rank_correlations(data, "rotations")), 0.9, "rank correlation"
        ),
        "more_different_orbit": at_least(
            estimate(rank_correlations(data, "orbit")), 0.9, "rank correlation"
        ),
        "hint": at_most(estimate(hints), 0.01, "|P[v1.v2 < 0] - P[disagree]|"),
        "volume": _volume(data),
        "rotations": _exponents(data, "rotations", "rotations"),
        "functions_printed": _exponents(data, "orbit", "rotations"),
        "functions": _exponents(data, "orbit", "functions"),
        "exponential": all_of(*(_exponential(data, space) for space in SPACES)),
    }


def _kinds(data: Data, kinds: Sequence[str]) -> list[Data]:
    return [p for p in data["pairs"] if p["kind"] in kinds]


def pooled(pairs: Data) -> float:
    """The disagreement of several pairs over their distance on the orbit, sum over sum."""
    return sum(pairs["disagree"]) / pairs["inputs"] / sum(pairs["orbit"])


def _constants(data: Data) -> tuple[list[float], list[float]]:
    """log d and log c of each kind of pairs and seed."""
    sets = _kinds(data, APART)
    return [math.log(p["d"]) for p in sets], [math.log(pooled(p)) for p in sets]


def _pairs(data: Data, of: str, kinds: Sequence[str] = APART) -> list[tuple[int, float, Estimate]]:
    """d, the matrix distance, and the disagreement with its interval, of every pair."""
    return [
        (p["d"], far, _share(count, p["inputs"]))
        for p in _kinds(data, kinds)
        for far, count in zip(p[of], p["disagree"], strict=True)
    ]


def _printed(data: Data) -> Verdict:
    """The ratio that pairs of the same task allow, against what independent ones suggest."""
    c = min(e.low / far for _, far, e in _pairs(data, "rotations", ("independent",)))
    same = _kinds(data, ("same task",))
    counts = [count for p in same for count in p["disagree"]]
    share = proportion(sum(counts), sum(p["inputs"] * len(p["disagree"]) for p in same))
    far = estimate([v for p in same for v in p["rotations"]]).mean
    names = ("mean", "deviation", "low", "high")
    ratio = replace(share, **{name: getattr(share, name) / far for name in names})
    what = f"disagreement / ||R1 - R2||_F (mean {far:.3g}) of rotations with the same R^T Q R"
    return at_least(ratio, c, what)


def constant_by_d(data: Data) -> dict[int, float]:
    """c of the corrected relation: the largest that no pair of the first half contradicts, by the
    lower ends of the intervals."""
    halves = _pairs(data, "orbit")[::2]
    dims = sorted({d for d, *_ in halves})
    return {d: min(e.low / far for at, far, e in halves if at == d) for d in dims}


def _corrected(data: Data) -> Verdict:
    """All c are positive, and no pair of the other half is certainly below."""
    c = constant_by_d(data)
    others = _pairs(data, "orbit")[1::2]
    below = sum(e.high < c[d] * far for d, far, e in others)
    smallest = min(value * math.sqrt(d) for d, value in c.items())
    return all_of(
        at_most(below, 0, f"of {len(others)} pairs, those certainly below c ||A1 - A2||_F"),
        # A quarter of the 1/pi that nearby pairs have in theory; zero would be no bound at all.
        at_least(smallest, 0.25 / math.pi, "smallest c sqrt(d)"),
    )


def rank_correlations(data: Data, of: str) -> list[float]:
    """Spearman's, of disagreement and matrix distance, for each set of nearby pairs."""
    from scipy.stats import spearmanr

    return [float(spearmanr(p[of], p["disagree"]).statistic) for p in _kinds(data, ("nearby",))]


def _full(place: Data) -> list[tuple[float, int]]:
    """Distance and size of the full packings, without those at the constant distance."""
    return [(s["distance"], s["m"]) for found in place["sets"] for s in found[:-1] if s["full"]]


def dimensions_found(place: Data) -> Estimate:
    """The exponent of M in 1/delta. Of functions, the distance measured is the square root of the
    disagreement, which is their delta."""
    power = 2 if place["space"] == "functions" else 1
    return _line([(-power * math.log(x), math.log(m)) for x, m in _full(place)])


def _line(points: Sequence[tuple[float, float]]) -> Estimate:
    """The slope through points; without two places to go by, anything."""
    if len({x for x, _ in points}) < 2:
        return Estimate(0.0, 0.0, len(points), -math.inf, math.inf)
    return slope(*zip(*points, strict=True))


def ball_exponent(place: Data) -> Estimate:
    """The power of the radius by which the volume of a small ball grows."""
    small = place["small"]
    share = proportion(small["inside"], small["walkers"])
    power = lambda v: math.log(v) / math.log(small["fraction"]) if v > 0 else math.inf
    return replace(share, mean=power(share.mean), low=power(share.high), high=power(share.low))


def _exponents(data: Data, space: str, of: str) -> Verdict:
    """The exponents of a space over the dimensions that they should be."""
    found = []
    for place in data["packings"]:
        if place["space"] == space:
            expected, e = DIMENSIONS[of](place["d"]), ball_exponent(place)
            values = {n: getattr(e, n) / expected for n in ("mean", "low", "high")}
            found.append(
                between(replace(e, **values), 1 - NEAR, 1 + NEAR, f"d = {place['d']}, / {expected}")
            )
    return all_of(*found)


def _volume(data: Data) -> Verdict:
    """Sizes against the shares of the space that balls of both radii take, which are measured."""
    outside, compared = 0, 0
    for place in data["packings"]:
        if place["space"] == "functions":  # no group leaves the finite sample of inputs alone
            continue
        balls = place["balls"]
        for found in place["sets"]:
            rows = zip(found[:-1], balls["within"], balls["half"], strict=True)
            for packing, within, half in rows:
                if packing["full"]:
                    small = proportion(half, balls["draws"]).low
                    large = proportion(within, balls["draws"]).high
                    outside += packing["m"] * small > 1 or packing["m"] * large < 1
                    compared += 1
    return exact(outside, compared, "packings outside the bounds by volume")


def _exponential(data: Data, space: str) -> Verdict:
    """log M against d^2 at the constant distance."""
    points = [
        (place["d"] ** 2, math.log(found[-1]["m"]))
        for place in data["packings"]
        if place["space"] == space
        for found in place["sets"]
        if found[-1]["full"]
    ]
    return at_least(_line(points), 0.0, f"{space}: slope of log M in d^2")
