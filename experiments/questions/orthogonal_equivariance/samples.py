"""What is learned from random starts, on the original data and on rotated ones: two samples."""

from collections.abc import Sequence
from typing import Any

from scipy.stats import ks_2samp

from cnnlab import lab
from cnnlab.lab import Records


def against_original(learned: Records, arm: str) -> dict[str, tuple[Records, Records]]:
    """By basis, what was learned on the original data and on its own. Start i of the one has
    nothing to do with start i of the other."""
    samples = learned.where(arm=arm).by("basis")
    original = samples.pop("original")
    return {basis: (original, other) for basis, other in samples.items()}


def lost(original: Records, other: Records) -> lab.Estimate:
    """The mean accuracy on the original data less that on the others, with its interval."""
    return lab.paired(original["accuracy"], other["accuracy"])


def ks_tests(original: Records, other: Records) -> list[Any]:
    """Two-sample Kolmogorov-Smirnov tests of accuracy, loss and each margin."""
    values = lambda of: (of["accuracy"], of["loss"], *zip(*of["margins"], strict=True))
    return [ks_2samp(a, b) for a, b in zip(values(original), values(other), strict=True)]


def smallest_p(tests: Sequence[Any]) -> float:
    """Times their number: the p-value of all of them together (Bonferroni), at most 1."""
    return min(1.0, min(float(test.pvalue) for test in tests) * len(tests))
