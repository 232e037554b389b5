"""The question `fft_crossover`: at a tiny scale, and its judge on made-up times."""

import math

import pytest

from cnnlab.config import ConfigError
from experiments.fft_crossover import FAMILIES, crossings, judge

SIZES = (3, 5, 15, 45)
TINY = (
    *("kernels_1d=[3,5,9]", "kernels_2d=[3,5,6]", "sequence=16", "image=6", "channels=2"),
    *("batch=1", "repeats=2", "seconds=0.0001"),
)


def made(ratio=lambda k: 10 / k, lax=1.0, noise=0.0):
    """Times where Fourier transforms take `ratio(k)` of the best direct time, which is 1 s."""
    return {
        family: [
            {
                "kernel": k,
                "repeats": [
                    {"lax": lax, "taps": 1.0, "im2col": 1.5, "fft": ratio(k) * e, "fft_b": 99.0}
                    for e in (1 - noise, 1.0, 1 + noise)
                ],
            }
            for k in SIZES
        ]
        for family in FAMILIES
    }


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny("fft_crossover", *TINY)
    points = result["data"]["2-D dense"]
    assert [p["kernel"] for p in points] == [3, 5, 6]
    assert all({"lax", "fft", "im2col"} <= set(r) for p in points for r in p["repeats"])
    assert all(p["wrong"] == {} for points in result["data"].values() for p in points)


def test_kernels_without_the_small_ones(tiny):
    with pytest.raises(ConfigError, match=r"^kernels_2d: expected 3, 5 and larger sizes"):
        tiny("fft_crossover", "kernels_2d=[3,7]")


def test_the_judge():
    expected = dict.fromkeys(("small", "small_lax", "large", "large_lax"), "holds")
    assert verdicts(made()) == expected
    # Twice as slow a library: transforms pay at 3x3 and 5x5 already beside it, and only it.
    assert verdicts(made(lax=4.0)) == expected | {"small_lax": "fails"}
    assert verdicts(made(lambda k: 4 / k)) == expected | {"small": "fails", "small_lax": "fails"}
    never = dict.fromkeys(("large", "large_lax"), "fails")
    assert verdicts(made(lambda k: 2.0)) == expected | never
    assert verdicts(made(lambda k: 2.0 if k < 45 else 0.5, noise=0.9)) == dict.fromkeys(
        expected, "inconclusive"
    )


def test_one_family_is_enough_where_it_can_be():
    data = made(lambda k: 2.0) | {"2-D dense": made()["2-D dense"]}
    assert verdicts(data)["large"] == "holds" and verdicts(data)["large_lax"] == "fails"


def test_the_crossing():
    found = crossings(made(noise=0.1), "1-D dense", "direct")
    assert found == pytest.approx([9.0, 10.0, 11.0])
    assert crossings(made(lambda k: 2.0), "1-D dense", "lax") == [None] * 3
    assert math.isclose(crossings(made(lax=2.0), "1-D dense", "lax")[0], 5.0)
