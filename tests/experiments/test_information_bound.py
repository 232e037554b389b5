"""The question `information_bound`: at a tiny scale, and its judge on made-up data."""

import copy
from pathlib import Path

import pytest

from cnnlab.config import ConfigError, compose
from experiments import _question, sample_efficiency
from experiments.information_bound import COUNTS, QUESTION, judge


def test_tiny(tiny, monkeypatch):
    """The searches, which test_sample_efficiency makes, are asked for as configured."""

    def answered(question, cfg):
        assert question is sample_efficiency.QUESTION
        assert cfg.dimensions == [4, 8] and cfg.scale == "fast" and cfg.progress is False
        runs = [row | {"tried": []} for d in (4, 8) for net in NETS for row in run(net, d, d * d)]
        return Path("0123abcd-s0"), {"data": {"targets": DATA["targets"], "runs": runs}}

    monkeypatch.setattr(_question, "answer", answered)
    asked = "efficiency=['dimensions=[4,8]']"
    result = tiny("information_bound", asked, "ranks=[4,6]", "rotations=2")
    assert result["data"]["efficiency"] == "0123abcd-s0"
    verdicts = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert verdicts["parameters_printed"] == "fails"
    assert verdicts["parameters"] == verdicts["growth"] == "holds"
    rows = [
        (row["d"], row["printed"], row["orbit"], row["ranks"]) for row in result["data"]["ranks"]
    ]
    assert rows == [(4, 6, 4, [4, 4]), (6, 15, 9, [9, 9])]
    assert {run["d"] for run in result["data"]["runs"]} == {4, 8}


def bound(d, bits):
    count = {"D": d, "C": 2.0, "delta": 1.0, "bits": bits}
    return [
        {"d": d, "target": t, "printed": count | {"bits": 2 * bits}, "orbit": count}
        for t in ("0.9", "0.95")
    ]


def run(net, d, n):
    sizes = [{"0.9": n / 2, "0.95": None if n is None else n + i} for i in (0, 1, 2)]
    return [{"net": net, "d": d, "seed": i, "sizes": s} for i, s in enumerate(sizes)]


NETS = ("conv", "local", "fc_sgd", "fc_adam")
DATA = {
    "targets": ["0.9", "0.95"],
    "growth": [10, 20, 40, 80],
    "bounds": [row for d in (10, 20, 40, 80) for row in bound(d, d * d / 2)],
    "runs": [
        row
        for d in (10, 20)
        for net in NETS
        for row in run(net, d, 30 if net == "conv" else 5 * d * d)
    ],
    "ranks": [{"d": 4, "printed": 6, "orbit": 4, "ranks": [4, 4]}],
}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_the_judge_where_all_is_as_it_should_be():
    expected = {claim.name: "holds" for claim in QUESTION.claims}
    assert verdicts(DATA) == expected | {"parameters_printed": "fails"}
    tables = QUESTION.tables(DATA)
    assert tables[0].title.endswith("carries 0.47 bits") and len(tables[2].rows) == 2 * len(COUNTS)
    assert tables[1].rows[0] == [10, "100", "50", "5.01", "31", "501", "501", "501", "0.100"]


def test_the_judge_where_claims_fail():
    data = copy.deepcopy(DATA) | {"ranks": [{"d": 4, "printed": 6, "orbit": 4, "ranks": [6, 6]}]}
    found = verdicts(data)
    assert (found["parameters_printed"], found["parameters"]) == ("holds", "fails")
    data = DATA | {"bounds": [row for d in (10, 20, 40, 80) for row in bound(d, float(d))]}
    assert verdicts(data)["growth"] == "fails"
    few = {net: run(net, 20, 150) for net in ("fc_sgd", "conv")}
    kept = lambda net: [r for r in DATA["runs"] if (r["net"], r["d"]) != (net, 20)]
    found = verdicts(DATA | {"runs": kept("fc_sgd") + few["fc_sgd"]})
    assert (found["above"], found["above_printed"]) == ("fails", "fails")
    few = run("fc_sgd", 20, 300)
    found = verdicts(DATA | {"runs": kept("fc_sgd") + few})
    assert (found["above"], found["above_printed"]) == ("holds", "fails")
    assert verdicts(DATA | {"runs": kept("conv") + run("conv", 20, 300)})["escapes"] == "fails"


def test_a_search_without_an_end_leaves_the_verdict_open():
    data = copy.deepcopy(DATA)
    data["runs"][-1]["sizes"]["0.95"] = None  # fc_adam, which no claim is about
    assert verdicts(data) == verdicts(DATA)
    for row in data["runs"]:
        if (row["net"], row["d"], row["seed"]) == ("fc_sgd", 20, 0):
            row["sizes"]["0.95"] = None
    assert verdicts(data)["above"] == "inconclusive"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("ranks=[5]", "ranks[0]: expected an even whole number >= 4, got 5"),
        (
            "growth=[64,128]",
            "growth: expected a list of at least 3 different even whole numbers >= 4",
        ),
        ("rotations=0", "rotations: expected a whole number >= 1, got 0"),
    ],
)
def test_bad_settings_are_one_line(override, says):
    with pytest.raises(ConfigError) as caught:
        QUESTION.measure(compose([override], "information_bound"), None)
    assert str(caught.value).startswith(says)
