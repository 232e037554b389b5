"""The question `fft_crossover`: at a tiny scale, and its judge on made-up times."""

import pytest
from experiments.fft_crossover import FAMILIES, crossing, crossings, question

from cnnlab.config import ConfigError
from cnnlab.lab import Records

SIZES = (3, 5, 15, 45)
TINY = (
    *("kernels_1d=[3,5,9]", "kernels_2d=[3,5,6]", "sequence=16", "image=6", "channels=2"),
    *("batch=1", "repeats=2", "seconds=0.0001"),
)


def times(ratio=lambda k: 10 / k, lax=1.0, noise=0.0, families=FAMILIES):
    """Times where Fourier transforms take `ratio(k)` of the best direct time, which is 1 s."""
    each = lambda t: [t] * 3
    others = {"lax": each(lax), "taps": each(1.0), "im2col": each(1.5), "fft_b": each(99.0)}
    noisy = lambda k: [ratio(k) * e for e in (1 - noise, 1.0, 1 + noise)]
    return Records(
        {"family": family, "kernel": k, "seconds": {**others, "own_fft": noisy(k)}}
        for family in families
        for k in SIZES
    )


def test_tiny(tiny):
    result = tiny("fft_crossover", *TINY)
    points = Records(result["data"]["times"])
    assert points.where(family="1-D depthwise")["kernel"] == [3, 5, 9]
    assert points.where(family="2-D dense")["kernel"] == [3, 5, 6]
    assert all({"lax", "fft", "im2col"} <= set(point["seconds"]) for point in points)
    assert all(point["wrong"] == {} for point in points)


def test_kernels_without_the_small_ones(tiny):
    with pytest.raises(ConfigError, match=r"^kernels_2d: expected 3, 5 and larger sizes"):
        tiny("fft_crossover", "kernels_2d=[3,7]")


def test_the_judge(verdicts):
    judged = lambda *made, **options: verdicts(question, {"times": times(*made, **options)})
    expected = dict.fromkeys(("small", "small_lax", "large", "large_lax"), "holds")
    assert judged() == expected
    # Twice as slow a library: transforms pay at 3x3 and 5x5 already beside it, and only it.
    assert judged(lax=4.0) == expected | {"small_lax": "fails"}
    assert judged(lambda k: 4 / k) == expected | {"small": "fails", "small_lax": "fails"}
    never = dict.fromkeys(("large", "large_lax"), "fails")
    assert judged(lambda k: 2.0) == expected | never
    noisy = judged(lambda k: 2.0 if k < 45 else 0.5, noise=0.9)
    assert noisy == dict.fromkeys(expected, "inconclusive")


def test_one_family_is_enough_where_it_can_be(verdicts):
    found = times(lambda k: 2.0, families=FAMILIES[:3]) + times(families=FAMILIES[3:])
    found = verdicts(question, {"times": found})
    assert found["large"] == "holds" and found["large_lax"] == "fails"


def test_a_power_law():
    """Power laws are straight lines between logarithms."""
    sizes = [3, 9, 20, 50]
    assert crossing(sizes, [(12 / k) ** 2 for k in sizes]) == pytest.approx(12)
    assert crossing([2, 8], [2.0, 0.5]) == pytest.approx(4)


def test_the_last_crossing_counts():
    assert crossing([1, 2, 4, 8, 16], [2, 0.5, 2, 0.5, 0.1]) == pytest.approx(4 * 2**0.5)
    assert crossing([1, 2, 4], [1.0, 0.5, 0.2]) == pytest.approx(1)


def test_no_crossing():
    assert crossing([1, 2, 4], [0.9, 0.5, 0.2]) == 1.0
    assert crossing([1, 2, 4], [2.0, 0.5, 1.0]) is None


def test_crossings_by_repetition():
    points = times(noise=0.1, families=["1-D dense"])
    assert crossings(points, "direct") == pytest.approx([9.0, 10.0, 11.0])
    assert crossings(times(lambda k: 2.0, families=["1-D dense"]), "lax") == [None] * 3
    assert crossings(times(lax=2.0, families=["1-D dense"]), "lax")[0] == pytest.approx(5.0)
