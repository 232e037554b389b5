"""Networks learned from many random starts on several versions of the data: do the samples differ?

An arm is `{"original": sample, <another>: sample, ...}`; a sample `{"accuracy": [...],
"loss": [...], "margins": [[...], ...]}` has a value, or a list of margins, for each start. Start i
of one sample has nothing to do with start i of another.
"""

from collections.abc import Mapping
from typing import Any

from cnnlab.lab.verdict import Estimate, paired

Sample = Mapping[str, Any]


def lost(arm: Mapping[str, Sample]) -> list[tuple[str, Estimate]]:
    """By sample, the mean accuracy on the original data less that on its own, with its interval."""
    original = arm["original"]["accuracy"]
    return [(b, paired(original, v["accuracy"])) for b, v in arm.items() if b != "original"]


def ks_tests(one: Sample, other: Sample) -> list[tuple[str, float, float]]:
    """Two-sample Kolmogorov-Smirnov tests: of what, the largest distance, the p-value."""
    from scipy.stats import ks_2samp

    samples = [(name, one[name], other[name]) for name in ("accuracy", "loss")]
    columns = (zip(*sample["margins"], strict=True) for sample in (one, other))
    samples += [(f"margin {i}", a, b) for i, (a, b) in enumerate(zip(*columns, strict=True))]
    results = [(name, ks_2samp(a, b)) for name, a, b in samples]
    return [(name, float(r.statistic), float(r.pvalue)) for name, r in results]


def smallest_p(arm: Mapping[str, Sample]) -> float:
    """Of the tests of all samples against the original, times their number: the p-value of all of
    them together (Bonferroni), at most 1."""
    found = [p for b, v in arm.items() if b != "original" for *_, p in ks_tests(arm["original"], v)]
    return min(1.0, min(found) * len(found))
