"""What repetitions say of a quantity: a mean and the interval in which it lies with 95 %."""

import bisect
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from cnnlab.lab.records import unpack

CONFIDENCE = 0.95
MOST = 1_000_000  # repetitions: beyond it, a difference counts as too small to be told
_PLACES = 6  # behind the point, at most: what is smaller is written with an exponent
Number = float | int


@dataclass(frozen=True)
class Estimate:
    """A quantity over `n` repetitions: its mean, their standard deviation, and the 95 % confidence
    interval of the mean, `low` to `high` (infinite where `n` is too small to have one).

    `freedom`: the degrees of freedom of Student's distribution behind the interval.
    """

    mean: Number
    deviation: Number
    n: int
    low: Number
    high: Number
    freedom: Number = math.inf

    def __str__(self) -> str:
        return self.text()

    def __format__(self, spec: str) -> str:
        """`f"{estimate:.2f}"`: mean ± standard deviation."""
        return f"{self.mean:{spec}} ± {self.deviation:{spec}}" if spec else str(self)

    def text(self, *limits: Number) -> str:
        """Mean, interval and number: half the interval has two digits, and an end more of them
        where it would else be rounded to the other side of a limit."""
        if not math.isfinite(self.low + self.high):
            return f"{self.mean:.4g} (n = {self.n})"
        half = (self.high - self.low) / 2
        places = max(0, 1 - math.floor(math.log10(half))) if half > 0 else _PLACES + 1
        while places <= _PLACES and self._crosses(places, limits):
            places += 1
        form = f"z,.{places}f" if places <= _PLACES else ".4g"
        mean, low, high = (format(value, form) for value in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}] (n = {self.n})"

    def _crosses(self, places: int, limits: Sequence[Number]) -> bool:
        """Whether an end, rounded, lies at or on the other side of a limit."""
        side = lambda value, limit: (value > limit) - (value < limit)
        ends = [(end, limit) for end in (self.low, self.high) for limit in limits]
        return any(side(round(end, places), limit) != side(end, limit) for end, limit in ends)

    def columns(self, spec: str) -> dict[str, str | int]:
        """For a table: mean, deviation and number."""
        return {
            "mean": f"{self.mean:{spec}}", "deviation": f"{self.deviation:{spec}}", "n": self.n
        }  # fmt: skip

    def json(self) -> dict[str, Number | None]:
        """As a JSON object; what is not finite, as the end of an interval may be, is null."""
        return finite(asdict(self))

    def narrow(self, margin: Number) -> bool:
        """Whether the interval reaches no further than `margin` from the mean."""
        return self.high - self.mean <= margin

    def among(self, several: int) -> "Estimate":
        """With the interval of one of `several` that are all to contain their mean with 95 %
        (Bonferroni's correction: each is missed with 5 % / several)."""
        if several < 2 or not math.isfinite(self.low + self.high):
            return self
        wider = _quantile(self.freedom, several) / _quantile(self.freedom)
        low, high = (self.mean + wider * (end - self.mean) for end in (self.low, self.high))
        return replace(self, low=low, high=high)

    def prediction(self) -> "Estimate":
        """The interval in which one more repetition lies with 95 %: it varies as much as one of
        these, and their mean is not known exactly either."""
        half = math.inf
        if self.n > 1:
            half = _quantile(self.n - 1) * self.deviation * math.sqrt(1 + 1 / self.n)
        # One has no deviation, which more of them would make smaller.
        return replace(self, deviation=math.nan, low=self.mean - half, high=self.mean + half)

    def needed(self, limit: Number) -> int | None:
        """How many repetitions with this mean and deviation keep a limit out of the interval;
        none do where that is more than a million, or where what does not grow less with them (a
        `lead`'s part for other test images) is too much by itself."""
        distance, rest = abs(self.mean - limit), self._rest()
        if not 0 < self.deviation < math.sqrt(MOST) * distance:
            return None
        if self.n > 1 and not math.isfinite(self.low + self.high):
            return None  # what makes it infinite is not that they are few

        def told(n: int) -> bool:
            varies = self.deviation**2 / n
            freedom = (varies + rest) ** 2 / varies**2 * (n - 1)
            return _quantile(freedom) * math.sqrt(varies + rest) < distance

        # It grows narrower with every repetition, so that the first number that will do is found.
        n = 2 + bisect.bisect_left(range(2, MOST + 1), True, key=told)
        return n if n <= MOST else None

    def _rest(self) -> float:
        """The part of the mean's variance that is not the repetitions'."""
        if self.freedom == self.n - 1 or not math.isfinite(self.freedom + self.high):
            return 0.0
        error = (self.high - self.low) / 2 / _quantile(self.freedom)
        return max(0.0, error**2 - self.deviation**2 / self.n)


def finite(numbers: Mapping[str, Number]) -> dict[str, Number | None]:
    """For JSON: null for what is infinite or no number."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


@functools.cache
def _quantile(freedom: Number, several: int = 1) -> float:
    """Of Student's distribution: half an interval is so many standard errors."""
    from scipy.stats import t

    return float(t.ppf(1 - (1 - CONFIDENCE) / 2 / several, freedom))


def estimate(values: Sequence[Number]) -> Estimate:
    """Mean and deviation of repetitions, with Student's interval of the mean. Of none there is no
    mean, and nothing to judge by."""
    n = len(values)
    mean = math.fsum(values) / n if n else math.nan
    if n < 2:
        return Estimate(mean, 0.0, n, -math.inf, math.inf)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = _quantile(n - 1) * deviation / math.sqrt(n)
    return Estimate(mean, deviation, n, mean - half, mean + half, n - 1)


def paired(a: Sequence[Number], b: Sequence[Number]) -> Estimate:
    """The difference `a - b` of pairs, such as two networks on the same seeds."""
    return estimate([x - y for x, y in zip(a, b, strict=True)])


def lead(
    a: Sequence[str], b: Sequence[str], *, than: Sequence[Sequence[str]] | None = None
) -> Estimate:
    """By how many points of accuracy networks `a` are ahead of `b`, paired by seed: of each which
    of the same test images it has right, as `lab.pack` writes it. Of two others, by how many more
    `than` the first of these is ahead of the second.

    The interval is for other seeds *and* other test images. With D[s, i] of -100, 0 or 100 for
    seed s and image i, a row's mean varies by the seed, a column's by the image, and the variance
    of the mean of all is at most var(row means) / n + var(column means) / m (Owen, The pigeonhole
    bootstrap, 2007; what each counts twice makes it a little larger).
    """
    right = lambda arm: np.stack([unpack(text) for text in arm]).astype(np.float64)
    d = 100.0 * (right(a) - right(b))
    if than is not None:
        c, e = than
        d -= 100.0 * (right(c) - right(e))
    n, m = d.shape
    by_seed = estimate(d.mean(1).tolist())
    if n < 2 or m < 2:
        return by_seed
    seeds, images = d.mean(1).var(ddof=1) / n, d.mean(0).var(ddof=1) / m
    variance = seeds + images
    # Welch and Satterthwaite: of a sum of two variances the degrees of freedom.
    spread = seeds**2 / (n - 1) + images**2 / (m - 1)
    freedom = variance**2 / spread if spread else math.inf
    half = _quantile(freedom) * math.sqrt(variance)
    mean = float(d.mean())
    return Estimate(mean, by_seed.deviation, n, mean - half, mean + half, freedom)


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
    from scipy.stats import linregress

    n = len(x)
    if len(set(x)) < 2:
        return Estimate(0.0, 0.0, n, -math.inf, math.inf)
    if n < 3:
        rise = (y[-1] - y[0]) / (x[-1] - x[0])
        return Estimate(rise, 0.0, n, -math.inf, math.inf)
    line = linregress(x, y)
    value, error = float(line.slope), float(line.stderr)
    half = _quantile(n - 2) * error
    return Estimate(value, error * math.sqrt(n), n, value - half, value + half, n - 2)


def percent(shares: Iterable[Number]) -> list[float]:
    """Shares in percent; a difference of two is in points."""
    return [100 * share for share in shares]
