"""The question `conv_variants`: a tiny scale, fitted widths, and its judge on made-up data."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from experiments.conv_variants import question
from experiments.conv_variants.counts import counted, typical_ratios
from experiments.conv_variants.networks import (
    BUDGETS,
    CHEAPER,
    SETTINGS,
    VARIANTS,
    Task,
    fit_widths,
    scaled_widths,
)

from cnnlab.analysis import count_parameters, summary
from cnnlab.config import ConfigError, compose
from cnnlab.lab import pack

POINTS = {"pointwise": -20, "locally_connected": -10}
TINY = replace(SETTINGS["fashion_mnist"], data="digits", steps=1)


def scores(points, n=3):
    """Of 1,000 images, the first: accuracies and what is right."""
    shares = [0.8 + 0.01 * i + points / 100 for i in range(n)]
    return {"accuracy": shares, "right": [pack(np.arange(1000) < 1000 * s) for s in shares]}


def made_up(n=3):
    """Data of one task and both budgets for which every claim holds."""
    cost = {"parameters": 100, "multiply_adds": 1000}
    networks = [
        {
            "task": "a", "budget": budget, "variant": v, "widths": [4, 8], **cost,
            **scores(POINTS.get(v, 0), n),
            "images_per_second": 900.0 if v == "dense" else 1000.0,
        }
        for budget in BUDGETS
        for v in VARIANTS
    ]  # fmt: skip
    half = {name: value // 2 for name, value in cost.items()}
    same = [{"task": "a", "variant": v, **half} for v in CHEAPER]
    return {
        "counted": [{"weights": 9, "formula": 9}, {"weights": 5, "formula": 5}],
        "typical": [0.12, 0.2],
        "baselines": {"a": 50.0},
        "same_widths": [{"task": "a", "variant": "dense", **cost}, *same],
        "networks": networks,
    }


def network(data, variant, budget):
    return next(
        net for net in data["networks"] if (net["variant"], net["budget"]) == (variant, budget)
    )


def test_tiny(tiny):
    small = {
        "data": "digits", "plan": "[4,M]", "kernel_size": 3, "batch_size": 16, "steps": 1,
        "seeds": 1, "most_seeds": 1, "limit_train": 16, "limit_eval": 32,
        "budgets": "[multiply_adds]",
    }  # fmt: skip
    settings = [f"settings.fashion_mnist.{key}={value}" for key, value in small.items()]
    result = tiny(
        "conv_variants", "tasks=[fashion_mnist]", "draws=2", "groups=2", "seconds=0.01", *settings
    )
    networks = result["data"]["networks"]
    assert [net["variant"] for net in networks] == list(VARIANTS)
    for net in networks:
        assert net["budget"] == "multiply_adds" and len(net["accuracy"]) == 1
        assert net["variant"] not in ("dense", "dilated") or net["widths"] == [4]
    found = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert found["formulas"] == found["smaller"] == "holds"
    assert found["unshared"] == "inconclusive"  # of one network


@pytest.mark.parametrize(
    ("variant", "budget"),
    # Steps of one channel, of the groups, and of a filter's channels; either budget.
    [("strided", "multiply_adds"), ("grouped", "multiply_adds")]
    + [(v, "parameters") for v in ("locally_connected", "depthwise")],
)
def test_fitted_networks_cost_what_the_dense_one_costs(variant, budget):
    task = Task(TINY, groups=4)
    dense = task.size("dense", task.widths)[budget]
    # Widths of a few channels leave steps of this size.
    found = task.size(variant, task.fit(variant, budget))[budget]
    assert found == pytest.approx(dense, rel=0.15)


def test_the_size_is_that_of_the_network_that_is_trained():
    task = Task(replace(TINY, plan=(4, "M", 8)), groups=2)
    for variant in ("grouped", "strided", "depthwise"):
        model, size = task.study(variant, (4, 8)).experiment.model, task.size(variant, (4, 8))
        assert size["parameters"] == count_parameters(model)
        assert size["multiply_adds"] == summary(model, (8, 8, 1)).multiply_adds


def test_counts_are_the_formulas():
    found = list(counted(np.random.default_rng(0), 5))
    assert len(found) == 25 and all(row["weights"] == row["formula"] for row in found)
    ratios = typical_ratios()
    assert len(ratios) == 13
    assert ratios[-1] == pytest.approx(1 / 9 + 1 / 512)


def test_what_has_not_learnt_is_not_judged(verdicts):
    """Only the claims about a network that is worse than the baseline: 80 % of grouped ones."""
    data = made_up()
    network(data, "grouped", "parameters").update(scores(-50))
    found = verdicts(question, data)
    assert {name: v for name, v in found.items() if v != "holds"} == {"grouped": "inconclusive"}


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}
    one = verdicts(question, made_up(n=1))
    for claim in (
        "separable",
        "grouped",
        "depthwise",
        "pointwise",
        "shared",
        "unshared",
        "strided",
    ):
        assert one[claim] == "inconclusive"


@pytest.mark.parametrize(
    ("claim", "variant", "points", "budget"),
    [
        ("separable", "depthwise_separable", -3, "parameters"),
        ("grouped", "grouped", -3, "parameters"),
        ("depthwise", "depthwise", -3, "parameters"),
        ("pointwise", "pointwise", 3, "parameters"),
        ("shared", "locally_connected", 3, "parameters"),
        ("unshared", "locally_connected", 3, "multiply_adds"),
        ("strided", "strided", -3, "parameters"),
    ],
)
def test_the_judge_of_accuracies_where_one_fails(claim, variant, points, budget, verdicts):
    data = made_up()
    network(data, variant, budget).update(scores(points))
    found = verdicts(question, data)
    assert {name: v for name, v in found.items() if v != "holds"} == {claim: "fails"}


@pytest.mark.parametrize(
    ("claim", "spoil"),
    [
        ("formulas", lambda d: d["counted"].append({"weights": 6, "formula": 7})),
        ("smaller", lambda d: d["typical"].append(0.6)),
        ("reduce", lambda d: d["same_widths"][-1].update(multiply_adds=1001)),
        (
            "time",
            lambda d: network(d, "grouped", "multiply_adds").update(images_per_second=100.0),
        ),
    ],
)
def test_the_judge_of_counts_and_times_where_one_fails(claim, spoil, verdicts):
    data = made_up()
    spoil(data)
    found = verdicts(question, data)
    assert {name: v for name, v in found.items() if v != "holds"} == {claim: "fails"}


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("settings.mnist1d.variants=[strided]", r"settings\.mnist1d\.variants"),
        ("tasks=[cifar]", r"tasks\[0\]"),
        ("settings.mnist1d.steps=0", r"settings\.mnist1d\.steps"),
        ("settings.mnist1d.budgets=[time]", r"settings\.mnist1d\.budgets\[0\]"),
    ],
)
def test_bad_settings_are_refused(override, key):
    with pytest.raises(ConfigError, match=f"^{key}: expected"):
        question.check_settings(compose([override], "conv_variants"))


def dense(widths):
    """Parameters of 3x3 convolutions in a chain, from one channel to the last width."""
    return sum(9 * a * b for a, b in itertools.pairwise((1, *widths)))


@pytest.mark.parametrize("base", [(16, 32, 64), (8, 8), (3,), (16, 32, 32, 64, 64)])
@pytest.mark.parametrize("target", [50, 1000, 23_184, 400_000])
def test_near_the_target(base, target):
    widths = fit_widths(dense, base, target)
    # What one more or one less in the last width would change is more than what is missing.
    one = 9 * (1, *widths)[-2]
    assert abs(dense(widths) - target) <= one / 2 + 1e-9 or widths[-1] == 1
    scaled = {scaled_widths(base, 1.003**i)[:-1] for i in range(-2000, 4000)}
    assert widths[:-1] in scaled


def test_the_base_itself_where_it_fits():
    assert fit_widths(dense, (16, 32, 64), dense((16, 32, 64))) == (16, 32, 64)


def test_no_other_last_width_is_nearer():
    found = fit_widths(dense, (16, 32, 64), 5000)
    others = [(*found[:-1], last) for last in range(1, 200)]
    assert abs(dense(found) - 5000) == min(abs(dense(other) - 5000) for other in others)


@pytest.mark.parametrize("target", [100, 5000, 100_000])
def test_steps(target):
    widths = fit_widths(dense, (16, 32, 64), target, step=8)
    assert all(width % 8 == 0 and width >= 8 for width in widths)


def test_nested_widths_are_multiples():
    count = lambda widths: 10 * sum(widths)
    widths = fit_widths(count, (16, 32, 64), 10 * 7 * 205, nested=True)
    assert widths == (205, 410, 820)
    assert scaled_widths((16, 32, 64), 0.1, nested=True) == (2, 4, 8)
    assert scaled_widths((16, 32, 64), 0.1) == (2, 3, 6)


def test_as_small_as_it_gets():
    assert fit_widths(dense, (16, 32, 64), 1) == (1, 1, 1)
