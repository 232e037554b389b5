"""From numbers to a verdict: the rules that judge them.

A verdict is computed, never typed in: `holds` and `fails` where the whole 95 % interval lies on one
side of what the claim says, `inconclusive` where it does not, or where there is nothing to judge
by.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from cnnlab.lab.estimates import Estimate, Number, finite

Outcome: TypeAlias = Literal["holds", "fails", "inconclusive"]
HOLDS: Outcome = "holds"
FAILS: Outcome = "fails"
INCONCLUSIVE: Outcome = "inconclusive"
FEWEST = 5  # repetitions from which on their spread is judged by


@dataclass(frozen=True)
class Quantity:
    """A quantity, what it is, and the range in which the claim says that it lies."""

    what: str
    value: Number | Estimate
    least: Number = -math.inf
    most: Number = math.inf

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Quantity":
        """That of an estimate, from the JSON object that it was written as."""
        read = lambda name, infinite: infinite if found[name] is None else found[name]
        value = Estimate(
            read("mean", math.nan), read("deviation", math.inf), found["n"],
            read("low", -math.inf), read("high", math.inf), read("freedom", math.inf),
        )  # fmt: skip
        return cls(found["what"], value, read("least", -math.inf), read("most", math.inf))

    @property
    def mean(self) -> Number:
        """Of the estimate, or the number."""
        return self.value.mean if isinstance(self.value, Estimate) else self.value

    def interval(self, several: int = 1) -> tuple[Number, Number]:
        """Its ends, or the number twice; corrected where it is one of `several`."""
        if not isinstance(self.value, Estimate):
            return self.value, self.value
        value = self.value.among(several)
        return value.low, value.high

    def outcome(self, several: int = 1) -> Outcome:
        """What the interval says."""
        low, high = self.interval(several)
        if math.isnan(low) or math.isnan(high):
            return FAILS
        if self.least <= low and high <= self.most:
            return HOLDS
        return FAILS if high < self.least or low > self.most else INCONCLUSIVE

    def evidence(self) -> str:
        """In a line; where the interval says nothing, how many repetitions would."""
        text = f"{self.what}: {self.number()}, {self.claimed()}"
        return "; ".join(filter(None, [text, self.telling()]))

    def telling(self) -> str:
        """Where the interval of several repetitions says nothing, how many would. Nothing of one
        that has no deviation, as of a single run, which is not about their number."""
        value = self._open()
        if value is None or not math.isfinite(value.deviation):
            return ""
        needed = self.needed()
        return f"n = {needed:,} would tell" if needed else "no n would tell"

    def number(self) -> str:
        """What was found; an interval is not rounded to the other side of an end of the range."""
        if isinstance(self.value, Estimate):
            return self.value.text(self.least, self.most)
        return "not a number" if math.isnan(self.value) else f"{self.value:.4g}"

    def claimed(self) -> str:
        """The range."""
        if self.least == -math.inf:
            return f"expected at most {self.most:.4g}"
        if self.most == math.inf:
            return f"expected at least {self.least:.4g}"
        return f"expected {self.least:.4g} to {self.most:.4g}"

    def needed(self) -> int | None:
        """How many repetitions would tell on which side of the nearest limit it lies, where these
        do not, and a million would."""
        value = self._open()
        if value is None:
            return None
        return value.needed(min(self.least, self.most, key=lambda end: abs(end - value.mean)))

    def _open(self) -> Estimate | None:
        """The interval of several repetitions, if it says nothing."""
        value = self.value
        if not isinstance(value, Estimate) or value.n < 2 or self.outcome() != INCONCLUSIVE:
            return None
        return value

    def json(self) -> dict[str, Any]:
        """As a JSON object: what it is, its estimate, the range; null where there is no end."""
        value = self.value
        numbers = value.json() if isinstance(value, Estimate) else {"mean": value}
        limits = finite({"least": self.least, "most": self.most})
        return {"what": self.what, **numbers, **limits, "needed": self.needed()}


@dataclass(frozen=True)
class Verdict:
    """What the data say of one claim, and the numbers by which they say it.

    It rests on the interval of one quantity, on a count, or on several verdicts; `reason` is why
    they say nothing.
    """

    verdict: Outcome
    evidence: str
    quantity: Quantity | None = None
    of: tuple["Verdict", ...] = ()
    reason: str = ""

    def leaves(self) -> Iterator["Verdict"]:
        """Those that it rests on, each of one quantity or count."""
        for verdict in self.of:
            yield from verdict.leaves()
        if not self.of:
            yield self

    def json(self) -> dict[str, Any]:
        """As a JSON object; `counted` is the evidence of what has no interval."""
        counted = (v.evidence for v in self.leaves() if v.quantity not in self.quantities)
        return {
            "verdict": self.verdict,
            "evidence": self.evidence,
            "reason": self.reason,
            "counted": "; ".join(counted),
            "quantities": [quantity.json() for quantity in self.quantities],
        }

    @property
    def quantities(self) -> list[Quantity]:
        """All that have an interval: a claim that has none is a check, not an estimate."""
        found = (leaf.quantity for leaf in self.leaves())
        return [q for q in found if q is not None and isinstance(q.value, Estimate)]

    def unless(self, reason: str) -> "Verdict":
        """The same numbers, which say nothing for a reason."""
        evidence = f"{reason}; {self.evidence}"
        return replace(self, verdict=INCONCLUSIVE, evidence=evidence, reason=reason)


def exact(
    mismatches: int | Sequence[int],
    compared: int | Sequence[int],
    what: str,
    differ: str = "differ",
) -> Verdict:
    """A claim of equality: one counterexample among what was compared refutes it; `3 of 12 {what}
    {differ}` is the evidence. Several counts are added up."""
    wrong, of = (n if isinstance(n, int) else sum(n) for n in (mismatches, compared))
    if of == 0:
        return Verdict(INCONCLUSIVE, f"0 {what} compared")
    return Verdict(FAILS if wrong else HOLDS, f"{wrong:,} of {of:,} {what} {differ}")


def none_of(wrong: Iterable[bool], what: str, differ: str = "differ") -> Verdict:
    """`exact`, of what is known by itself to be a counterexample or not."""
    found = list(wrong)
    return exact(sum(map(bool, found)), len(found), what, differ)


def at_most(value: Number | Estimate, limit: Number, what: str) -> Verdict:
    """A claim that a quantity does not exceed a limit."""
    return _judged(Quantity(what, value, most=limit))


def at_least(value: Number | Estimate, limit: Number, what: str) -> Verdict:
    """A claim that a quantity is no less than a limit."""
    return _judged(Quantity(what, value, least=limit))


def between(value: Number | Estimate, least: Number, most: Number, what: str) -> Verdict:
    """A claim that a quantity lies in a range."""
    return _judged(Quantity(what, value, least, most))


def reproduced(published: Number, ours: Estimate, what: str, *, margin: Number) -> Verdict:
    """A claim that one published run is like those repeated here: it lies where one more of ours
    would with 95 %, or within `margin` of that, as published numbers are rounded."""
    one = ours.prediction()
    near = Quantity(f"{what}, one run", one, published - margin, published + margin)
    evidence = f"{near.what}: {near.number()}, published: {published:.4g}"
    if ours.n < FEWEST:
        return Verdict(INCONCLUSIVE, f"{evidence}; n = {FEWEST} would tell how runs vary", near)
    apart = one.high < near.least or near.most < one.low
    return Verdict(FAILS if apart else HOLDS, evidence, near)


def all_of(*parts: Verdict | Iterable[Verdict], none: str = "") -> Verdict:
    """A claim of several parts, some of them perhaps together: it fails with any, and holds with
    all; `none` is the evidence where there are none.

    That all of them hold is as sure as the least sure of them. That one of many fails by chance is
    not: each interval that refutes is corrected for the number of those that could have.
    """
    verdicts = tuple(v for part in parts for v in ([part] if isinstance(part, Verdict) else part))
    whole = Verdict(INCONCLUSIVE, "; ".join(v.evidence for v in verdicts) or none, of=verdicts)
    several = len(whole.quantities)
    found = [_among(several, leaf) for verdict in verdicts for leaf in verdict.leaves()]
    worst = next((w for w in (FAILS, INCONCLUSIVE) if w in found), HOLDS if found else INCONCLUSIVE)
    return replace(whole, verdict=worst)


def any_of(parts: Iterable[Verdict]) -> Verdict:
    """A claim that something can be: it holds with any of its parts, and fails with all.

    That one of many holds by chance is likely: the interval that tells is corrected for their
    number.
    """
    verdicts = tuple(parts)
    whole = Verdict(INCONCLUSIVE, "; ".join(v.evidence for v in verdicts), of=verdicts)
    found = [_among(len(verdicts), verdict, HOLDS) for verdict in verdicts]
    best = next((w for w in (HOLDS, INCONCLUSIVE) if w in found), FAILS)
    return replace(whole, verdict=best if found else INCONCLUSIVE)


def _among(several: int, leaf: Verdict, outcome: Outcome = FAILS) -> Outcome:
    """Its verdict, which must be clear enough where it tells by itself and is one of several."""
    if leaf.verdict == outcome and leaf.quantity is not None:
        return leaf.quantity.outcome(several)
    return leaf.verdict


def _judged(quantity: Quantity) -> Verdict:
    return Verdict(quantity.outcome(), quantity.evidence(), quantity)
