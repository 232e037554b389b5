"""The question `conv_variants`: a tiny scale, fitted widths, and its judge on made-up data."""

import copy

import pytest

from cnnlab.analysis import count_parameters, summary
from cnnlab.config import ConfigError, compose
from experiments._conv_variants import Task, counted, typical_ratios
from experiments.conv_variants import BUDGETS, CHEAPER, check, judge

VARIANTS = ("dense", "pointwise", *CHEAPER, "dilated", "locally_connected", "strided")
POINTS = {"pointwise": -20, "locally_connected": -10}


def made_up(n=3):
    """Data of one task and both budgets for which every claim holds."""
    accuracy = lambda v: [0.8 + 0.01 * i + POINTS.get(v, 0) / 100 for i in range(n)]
    nets = {
        v: {
            "widths": [4, 8],
            "parameters": 100,
            "multiply_adds": 1000,
            "accuracy": accuracy(v),
            "images_per_second": 900.0 if v == "dense" else 1000.0,
        }
        for v in VARIANTS
    }
    same = {v: {"parameters": 50, "multiply_adds": 500} for v in CHEAPER}
    return {
        "counted": {"dense": [[9, 9]], "separable": [[5, 5]]},
        "typical": [0.12, 0.2],
        "tasks": {
            "a": {
                "same_widths": {"dense": {"parameters": 100, "multiply_adds": 1000}, **same},
                "budgets": {budget: copy.deepcopy(nets) for budget in BUDGETS},
            }
        },
    }


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    small = {
        "data": "digits", "plan": "[4,M]", "kernel_size": 3, "batch_size": 16, "steps": 1,
        "seeds": 1, "limit_train": 16, "limit_eval": 32, "budgets": "[multiply_adds]",
    }  # fmt: skip
    settings = [f"settings.fashion_mnist.{key}={value}" for key, value in small.items()]
    result = tiny(
        "conv_variants", "tasks=[fashion_mnist]", "draws=2", "groups=2", "seconds=0.01", *settings
    )
    task = result["data"]["tasks"]["fashion_mnist"]
    [(budget, nets)] = task["budgets"].items()
    assert budget == "multiply_adds" and set(nets) == set(VARIANTS)
    assert nets["dense"]["widths"] == nets["dilated"]["widths"] == [4]
    assert all(len(net["accuracy"]) == 1 for net in nets.values())
    found = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert found["formulas"] == found["smaller"] == "holds"
    assert found["shared"] == "inconclusive"  # needs equal parameters


@pytest.mark.parametrize(
    ("variant", "budget"),
    [(v, "multiply_adds") for v in VARIANTS]
    + [(v, "parameters") for v in ("locally_connected", "grouped", "depthwise")],
)
def test_fitted_networks_cost_what_the_dense_one_costs(variant, budget):
    task = Task([8, "M", 16], 3, 4, ["data=digits", "steps=1"])
    dense = task.count("dense", task.widths)
    widths = task.fit(variant, budget)
    # Widths of a few channels leave steps of this size.
    assert getattr(task.count(variant, widths), budget) == pytest.approx(
        getattr(dense, budget), rel=0.15
    )


def test_the_table_is_that_of_the_network_that_is_trained():
    task = Task([4, "M", 8], 3, 2, ["data=digits", "steps=1"])
    for variant in ("grouped", "strided", "depthwise"):
        study = task.study(variant, (4, 8))
        counts = task.count(variant, (4, 8))
        assert counts.parameters == study.parameters == count_parameters(study.experiment.model)
        assert counts.multiply_adds == summary(study.experiment.model, (8, 8, 1)).multiply_adds


def test_counts_are_the_formulas():
    for pairs in counted(0, 5).values():
        assert len(pairs) == 5 and all(a == b for a, b in pairs)
    ratios = typical_ratios()
    assert len(ratios) == 13
    assert ratios[-1] == pytest.approx(1 / 9 + 1 / 512)


def test_the_judge():
    assert set(verdicts(made_up()).values()) == {"holds"}
    one = verdicts(made_up(n=1))
    for claim in ("separable", "grouped", "depthwise", "pointwise", "shared", "strided"):
        assert one[claim] == "inconclusive"


@pytest.mark.parametrize(
    ("claim", "variant", "points"),
    [
        ("separable", "depthwise_separable", -3),
        ("grouped", "grouped", -3),
        ("depthwise", "depthwise", -3),
        ("pointwise", "pointwise", 3),
        ("shared", "locally_connected", 3),
        ("strided", "strided", -3),
    ],
)
def test_the_judge_of_accuracies_where_one_fails(claim, variant, points):
    data = made_up()
    net = data["tasks"]["a"]["budgets"]["parameters"][variant]
    net["accuracy"] = [0.8 + 0.01 * i + points / 100 for i in range(3)]
    assert {name for name, v in verdicts(data).items() if v != "holds"} == {claim}
    assert verdicts(data)[claim] == "fails"


@pytest.mark.parametrize(
    ("claim", "spoil"),
    [
        ("formulas", lambda d: d["counted"]["separable"].append([6, 7])),
        ("smaller", lambda d: d["typical"].append(0.6)),
        (
            "reduce",
            lambda d: d["tasks"]["a"]["same_widths"]["grouped"].update(multiply_adds=1001),
        ),
        (
            "time",
            lambda d: d["tasks"]["a"]["budgets"]["multiply_adds"]["grouped"].update(
                images_per_second=100.0
            ),
        ),
    ],
)
def test_the_judge_of_counts_and_times_where_one_fails(claim, spoil):
    data = made_up()
    spoil(data)
    assert {name for name, v in verdicts(data).items() if v != "holds"} == {claim}
    assert verdicts(data)[claim] == "fails"


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("variants=[dense]", "variants"),
        ("tasks=[cifar]", r"tasks\[0\]"),
        ("settings.mnist1d.steps=0", r"settings\.mnist1d\.steps"),
        ("settings.mnist1d.budgets=[time]", r"settings\.mnist1d\.budgets\[0\]"),
    ],
)
def test_bad_settings_are_refused(override, key):
    with pytest.raises(ConfigError, match=f"^{key}: expected"):
        check(compose([override], "conv_variants"))
