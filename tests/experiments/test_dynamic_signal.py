"""The question `dynamic_signal`: the task, the nets, a tiny scale, verdicts on made-up data."""

import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from experiments.dynamic_signal import NETS, best_accuracy, build, exponent, question, signals

from cnnlab.config import ConfigError, compose
from cnnlab.lab import Records

TINY = (
    "patches=[2,4]",
    "dimensions=[2,4]",
    "target=0.8",
    "seeds=2",
    "repeats={conv:1,local:1,fc:1}",
    "test_size=200",
    "per_octave=1",
    "epochs=2",
    "least_steps=40",
)


def test_tiny(tiny):
    data = tiny("dynamic_signal", *TINY)["data"]
    assert [(row["k"], row["d"], row["net"], row["seed"]) for row in data["needed"]] == [
        (k, d, net, seed)
        for k, d in ((2, 2), (4, 2), (2, 4), (4, 4))
        for net in NETS
        for seed in (0, 1)
        if net != "fc" or (k, d) != (4, 4)
    ]
    assert all(row["n"] for row in data["needed"] if row["net"] == "conv")
    assert [row["k"] for row in data["best"]] == [2, 4]


def test_one_patch_holds_the_signal():
    """The mean of y x is the signal over k; the rest is noise of deviation 1."""
    split = signals(3, 0, 40_000, k=4, d=3, noise=0.5)
    x, y = split.image, 2.0 * split.label - 1
    mean = (x * y[:, None, None]).mean(0)
    np.testing.assert_allclose(np.linalg.norm(mean, axis=1), 2 / 4, atol=0.03)
    signal = mean.mean(0) / np.linalg.norm(mean.mean(0))
    np.testing.assert_allclose(mean @ signal, 2 / 4, atol=0.03)
    along = x @ signal * y[:, None]
    # Of a mixture: 1 + s^2 / k - (s / k)^2.
    np.testing.assert_allclose(along.var(0), 1 + 4 / 4 - 1 / 4, atol=0.05)
    other = signals(4, 0, 40_000, k=4, d=3, noise=0.5)
    assert abs(np.corrcoef((other.image * (2.0 * other.label - 1)[:, None, None]).mean((0, 1)),
                           signal)[0, 1]) < 0.999  # fmt: skip


def test_the_nets():
    x = jr.normal(jr.key(0), (5, 4, 3))
    made = {net: build(net, 4, 3, width=1, scale=1.0, key=jr.key(1)) for net in NETS}
    assert {net: made[net].vectors.size for net in NETS} == {"conv": 3, "local": 12, "fc": 48}
    w = jr.normal(jr.key(2), (3,))
    z = np.asarray(x @ w)
    want = np.sign(z) * np.maximum(np.abs(z) - 0.7, 0)
    # With the same vector for all patches the three are one function.
    vectors = {"conv": w, "local": jnp.tile(w, (4, 1)), "fc": jnp.eye(4)[:, :, None] * w}
    for net, shared in vectors.items():
        net = type(made[net])(shared, jnp.full(made[net].threshold.shape, 0.7), net)
        np.testing.assert_allclose(net(x), want.sum(1), rtol=1e-5, atol=1e-5)


def test_the_best_accuracy_of_one_patch_is_the_normal_distributions():
    assert best_accuracy(1, 1.0, 0) == pytest.approx(0.8413, abs=0.005)
    assert best_accuracy(8, 1.0, 0) < best_accuracy(2, 1.0, 0) < best_accuracy(2, 0.5, 0)


POWERS = {"conv": (0.4, 0.4), "local": (1.2, 0.6), "fc": (2.2, 1.2)}
FIRST = {"conv": 10, "local": 40, "fc": 400}


def made_up(**powers):
    powers = POWERS | powers
    needed = [
        {"net": net, "k": k, "d": d, "seed": seed,
         "n": FIRST[net] * (k / 4) ** a * (d / 4) ** b * (1 + 0.01 * seed * (k + d) / 16)}
        for net, (a, b) in powers.items()
        for k, d in ((4, 4), (8, 4), (16, 4), (4, 8), (4, 16), (8, 8), (16, 16))
        for seed in range(3)
    ]  # fmt: skip
    best = [{"k": k, "best": 0.99} for k in (4, 8, 16)]
    return {"needed": needed, "best": best, "per_octave": 16, "target": 0.95}


def test_the_judge(verdicts):
    assert verdicts(question, made_up()) == {"sharing": "holds", "order": "holds"}
    assert verdicts(question, made_up(conv=(1.2, 0.6)))["sharing"] == "inconclusive"  # no growth
    assert verdicts(question, made_up(conv=(1.5, 0.6)))["sharing"] == "fails"
    assert verdicts(question, made_up(local=(3.0, 3.0)))["order"] == "fails"


def test_exponents_are_those_that_data_were_made_with():
    needed = Records(made_up()["needed"])
    for net, (of_k, of_d) in POWERS.items():
        found = [exponent(needed, net, line, 16) for line in ("k", "d")]
        np.testing.assert_allclose([e.mean for e in found], [of_k, of_d], atol=0.02)


def test_growth_within_a_step_of_the_grid_is_open(verdicts):
    data = made_up(conv=(1.1, 0.5))  # a ratio that grows by the power 0.2
    assert verdicts(question, data)["sharing"] == "holds"
    assert verdicts(question, data | {"per_octave": 2})["sharing"] == "inconclusive"


def test_a_search_without_an_end_has_no_interval():
    data = made_up()

    def without_end(**last):
        next(row for row in data["needed"] if last.items() <= row.items())["n"] = None

    without_end(net="fc", k=16, d=4, seed=0)
    needed = Records(data["needed"])
    # As if 8 times the first size, 8 k^2 d, had been enough.
    by_k, by_d = (exponent(needed, "fc", line, 16) for line in ("k", "d"))
    assert by_k.mean > 2.4 and not math.isfinite(by_k.low) and by_d.low > 1.1
    found = question.judge(data)
    # The order is clear all the same: that net needs as many or more.
    assert found["order"].verdict == "holds" and "(n = 1)" not in found["order"].evidence
    assert question.tables(data) and question.draw(data)
    without_end(net="local", k=16, d=16, seed=1)
    assert question.judge(data)["sharing"].verdict == "inconclusive"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("patches=[4]", r"^patches: expected a list of at least 2 different whole numbers >= 2"),
        (
            "patches=[4,8,32]",
            r"^dimensions: expected to grow by the same factors as patches, \[4, ",
        ),
        ("repeats.fc=0", r"^repeats.fc: expected a whole number >= 1, got 0"),
    ],
)
def test_bad_settings_are_one_line(override, says):
    with pytest.raises(ConfigError, match=says):
        question.check_settings(compose([override], "dynamic_signal"))
