"""The question `data_needed`: a tiny scale, its distances of curves, and its judge on made-up
data."""

import math

import numpy as np
import pytest
from experiments.data_needed import (
    CONV,
    LOCAL,
    MLP,
    NETWORKS,
    SEPARABLE,
    at_best,
    doublings,
    question,
    some,
)
from experiments.data_needed.distance import curve, further, images

from cnnlab.config import ConfigError
from cnnlab.data import fake
from cnnlab.lab import Records, pack

SIZES = tuple(2**power for power in range(6, 13))


def test_tiny(tiny):
    result = tiny(
        "data_needed", "data=fake", "data.shape=[4,4,1]", "data.train_size=64",
        "data.test_size=32", "sizes=[8,32]", "tuned=[8]", "plan=[2]", "widths=[4]", "seeds=1",
        "most_seeds=1", "limit_eval=32", "steps=1", "epochs=1", "batch_size=8",
        "rates=[0.01]", "dropouts=[0.0,0.5]",
    )  # fmt: skip
    runs = Records(result["data"]["runs"])
    assert list(runs.by("network", "n")) == [(k, n) for k in NETWORKS for n in (8, 32)]
    sizes = runs.by("network", of="parameters")
    assert sizes[SEPARABLE] != sizes[CONV] != sizes[LOCAL]
    assert [row["n"] for row in result["data"]["baselines"]] == [8, 32]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sizes=[8,100]"], "sizes: expected up to 58, got 100"),
        (["sizes=[4,32]"], r"sizes\[0\]: expected at least batch_size=8, got 4"),
    ],
)
def test_sizes_that_cannot_be(tiny, overrides, message):
    with pytest.raises(ConfigError, match=message):
        tiny(
            "data_needed", "data=fake", "data.shape=[4,4,1]", "data.train_size=64",
            "data.test_size=32", "batch_size=8", *overrides,
        )  # fmt: skip


def test_the_images_of_a_seed():
    data = fake(shape=(2, 2, 1), train_size=200, test_size=4)
    images = lambda n, seed: some(data, n, seed).train.in_memory().image.reshape(n, -1)
    np.testing.assert_array_equal(images(5, 0), images(20, 0)[:5])
    assert (images(20, 0) != images(20, 1)).any()
    assert len({row.tobytes() for row in images(20, 0)}) == 20


def runs(network, accuracy, seeds=3):
    """Of a network whose accuracy is a function of log2 of n: as much better as the seed says."""
    return [
        {
            "network": network, "n": n, "seed": seed, "parameters": 10,
            "accuracy": (found := accuracy(math.log2(n)) + 0.2 * seed),
            "right": pack(np.arange(1000) < 10 * found),
        }
        for seed in range(seeds)
        for n in SIZES
    ]  # fmt: skip


def test_distances_of_curves_are_doublings_of_n():
    line = lambda shift: lambda power: 10 + 4 * (power - shift)
    found = Records(runs(MLP, line(0)) + runs(CONV, line(-1.5)))
    assert doublings(found, MLP, CONV).mean == pytest.approx(1.5)
    assert doublings(found, CONV, MLP).mean == pytest.approx(-1.5)
    # Twice as steep, and as good in the middle.
    steep = lambda power: 10 + 4 * 9 + 8 * (power - 9)
    line, steep = (
        curve({2**power: of(power) for power in range(6, 13)}) for of in (line(0), steep)
    )
    assert further(line, steep) == pytest.approx(0, abs=1e-9)
    # What gets worse with more images needed the fewer.
    assert curve({200: 1.0, 100: 3.0, 400: 4.0})[0] == [3, 3, 4]
    # Curves that have no accuracy in common say nothing.
    assert math.isnan(further(([1, 2], [7, 8]), ([3, 4], [7, 8])))


def test_images_that_an_accuracy_takes():
    line = curve({64: 10.0, 256: 30.0, 4096: 40.0})
    assert [images(a, line) for a in (10, 20, 40)] == ["64", "128", "4,096"]
    assert [images(a, line) for a in (9, 41)] == ["under 64", "over 4,096"]


def test_the_end_of_the_curve_of_an_mlp():
    """With 4,096 images it is as good as a convolutional net with 1,024."""
    flat = lambda power: min(40.0, 4 * power)
    found = Records(runs(MLP, flat) + runs(CONV, lambda power: 4 * power))
    assert at_best(found).mean == pytest.approx(2)


def made_up(**shift):
    shift = {MLP: 0.0, LOCAL: -1.0, CONV: -4.0, SEPARABLE: -4.0} | shift
    line = lambda by: lambda power: 10 + 4 * (power - by)
    return {
        "runs": [row for network, by in shift.items() for row in runs(network, line(by))],
        "baselines": [{"n": n, "accuracy": 20.0} for n in SIZES],
    }


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claims", "spoilt"),
    [
        ({"vastly"}, {CONV: -2.0, SEPARABLE: -2.0}),
        ({"less", "most", "vastly"}, {CONV: -0.5, LOCAL: -0.3, SEPARABLE: -0.5}),
        ({"locality"}, {LOCAL: 1.0}),
        ({"equivariance"}, {LOCAL: -5.0}),
        ({"separable"}, {SEPARABLE: -3.0}),
        ({"less", "most", "vastly", "struggle", "locality"}, {MLP: -8.0}),
    ],
)
def test_the_judge_where_some_fail(verdicts, claims, spoilt):
    found = verdicts(question, made_up(**spoilt))
    assert {claim for claim, verdict in found.items() if verdict == "fails"} == claims


def test_what_has_not_learnt_says_nothing(verdicts):
    data = made_up(**{SEPARABLE: 13.0})
    assert verdicts(question, data)["separable"] == "inconclusive"
