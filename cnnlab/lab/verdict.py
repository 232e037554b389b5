"""From numbers to a verdict: estimates with confidence intervals, and the rules that judge them.

A verdict is computed, never typed in: `holds` and `fails` where the whole interval lies on one side
of what the claim says, `inconclusive` where it does not, or where there is nothing to judge by.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

CONFIDENCE = 0.95
Number = float | int
Outcome: TypeAlias = Literal["holds", "fails", "inconclusive"]
HOLDS: Outcome = "holds"
FAILS: Outcome = "fails"
INCONCLUSIVE: Outcome = "inconclusive"


@dataclass(frozen=True)
class Estimate:
    """A quantity over `n` repetitions: its mean, their standard deviation, and the 95 % confidence
    interval of the mean, `low` to `high` (infinite where `n` is too small to have one)."""

    mean: Number
    deviation: Number
    n: int
    low: Number
    high: Number

    def __str__(self) -> str:
        if not math.isfinite(self.low + self.high):
            return f"{self.mean:.4g} (n = {self.n})"
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] (n = {self.n})"

    def __format__(self, spec: str) -> str:
        """`f"{estimate:.2f}"`: mean ± standard deviation."""
        return f"{self.mean:{spec}} ± {self.deviation:{spec}}" if spec else str(self)

    def columns(self, spec: str) -> dict[str, str | int]:
        """For a table: mean, deviation and number."""
        return {
            "mean": f"{self.mean:{spec}}", "deviation": f"{self.deviation:{spec}}", "n": self.n
        }  # fmt: skip

    def json(self) -> dict[str, Number | None]:
        """As a JSON object; an interval without an end has null there."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Verdict:
    """What the data say of one claim, and the numbers by which they say it."""

    verdict: Outcome
    evidence: str
    estimates: tuple[Estimate, ...] = ()


def estimate(values: Sequence[Number]) -> Estimate:
    """Mean and deviation of repetitions, with Student's interval of the mean. Of none there is no
    mean, and nothing to judge by."""
    from scipy.stats import t

    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    if n < 2:
        return Estimate(mean, 0.0, n, -math.inf, math.inf)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * deviation / math.sqrt(n)
    return Estimate(mean, deviation, n, mean - half, mean + half)


def paired(a: Sequence[Number], b: Sequence[Number]) -> Estimate:
    """The difference `a - b` of pairs, such as two networks on the same seeds."""
    return estimate([x - y for x, y in zip(a, b, strict=True)])


def proportion(successes: int, n: int) -> Estimate:
    """A share of `n` independent trials, with Wilson's interval."""
    from scipy.stats import binomtest

    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    share = successes / n
    deviation = math.sqrt(share * (1 - share))
    return Estimate(share, deviation, n, float(interval.low), float(interval.high))


def slope(x: Sequence[Number], y: Sequence[Number]) -> Estimate:
    """The slope of the least-squares line through points, with its interval; of logarithms, it is
    the exponent of a power law. `n` is the number of points; all at one `x` have any slope."""
    from scipy.stats import linregress, t

    n = len(x)
    if len(set(x)) < 2:
        return Estimate(0.0, 0.0, n, -math.inf, math.inf)
    if n < 3:
        rise = (y[-1] - y[0]) / (x[-1] - x[0])
        return Estimate(rise, 0.0, n, -math.inf, math.inf)
    line = linregress(x, y)
    half = float(t.ppf((1 + CONFIDENCE) / 2, n - 2)) * float(line.stderr)
    value = float(line.slope)
    return Estimate(value, float(line.stderr) * math.sqrt(n), n, value - half, value + half)


def percent(shares: Iterable[Number]) -> list[float]:
    """Shares in percent; a difference of two is in points."""
    return [100 * share for share in shares]


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
    return _judge(value, -math.inf, limit, f"{what}: {_show(value)}, limit {limit:.4g}")


def at_least(value: Number | Estimate, limit: Number, what: str) -> Verdict:
    """A claim that a quantity is no less than a limit."""
    return _judge(value, limit, math.inf, f"{what}: {_show(value)}, at least {limit:.4g}")


def between(value: Number | Estimate, least: Number, most: Number, what: str) -> Verdict:
    """A claim that a quantity lies in a range."""
    evidence = f"{what}: {_show(value)}, expected {least:.4g} to {most:.4g}"
    return _judge(value, least, most, evidence)


def all_of(*parts: Verdict | Iterable[Verdict], none: str = "") -> Verdict:
    """A claim of several parts, some of them perhaps together: it fails with any, and holds with
    all; `none` is the evidence where there are none."""
    verdicts = [v for part in parts for v in ([part] if isinstance(part, Verdict) else part)]
    found = [v.verdict for v in verdicts]
    worst = next((w for w in (FAILS, INCONCLUSIVE) if w in found), HOLDS if found else INCONCLUSIVE)
    estimates = tuple(e for v in verdicts for e in v.estimates)
    return Verdict(worst, "; ".join(v.evidence for v in verdicts) or none, estimates)


def _judge(value: Number | Estimate, least: Number, most: Number, evidence: str) -> Verdict:
    is_estimate = isinstance(value, Estimate)
    low, high = (value.low, value.high) if is_estimate else (value, value)
    estimates = (value,) if is_estimate else ()
    if math.isnan(low) or math.isnan(high):
        return Verdict(FAILS, f"{evidence} (not a number)", estimates)
    if least <= low and high <= most:
        return Verdict(HOLDS, evidence, estimates)
    apart = high < least or low > most
    return Verdict(FAILS if apart else INCONCLUSIVE, evidence, estimates)


def _show(value: Number | Estimate) -> str:
    return str(value) if isinstance(value, Estimate) else f"{value:.4g}"
