"""The question `weight_tying`: at a tiny scale, and its judge on made-up data."""

import pytest
from made_up import changed

from cnnlab.config import ConfigError
from experiments.weight_tying import judge

LAYER = {"losses": {"linear": {"sum": 1e-15, "mean": 0.9}, "largest": {"sum": 0.0, "mean": 0.5}}}
RUN = {"optimizer": "sgd", "pooled": [0.0, 0.0], "own": [0.1, 0.2], "from_conv": [0.0, 1e-15]}
DATA = {"gradients": [LAYER, LAYER], "trainings": [RUN, RUN]}
EXPECTED = {"pooled": "holds", "mean": "fails", "stays_tied": "holds", "required": "holds"}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny("weight_tying", "geometries=2", "updates=1", "steps=3")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == EXPECTED
    assert {len(run["own"]) for run in result["data"]["trainings"]} == {3}


def test_no_step_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"^steps: expected a whole number >= 1, got 0"):
        tiny("weight_tying", "steps=0")


@pytest.mark.parametrize(
    ("path", "value", "claim", "verdict"),
    [
        (("gradients", 1, "losses", "linear", "sum"), 1e-3, "pooled", "fails"),
        (("gradients", 1, "losses", "linear", "sum"), float("nan"), "pooled", "fails"),
        (("trainings", 1, "pooled", 0), 1e-3, "stays_tied", "fails"),
        (("trainings", 0, "from_conv", 1), 1e-3, "stays_tied", "fails"),
        (("trainings", 0, "own", 1), 0.0, "required", "fails"),
    ],
)
def test_one_number_changes_one_verdict(path, value, claim, verdict):
    assert verdicts(changed(DATA, path, value)) == EXPECTED | {claim: verdict}


def test_the_judge():
    assert verdicts(DATA) == EXPECTED
    one_position = {"losses": {"linear": {"sum": 0.0, "mean": 0.0}}}
    assert verdicts({**DATA, "gradients": [one_position]}) == EXPECTED | {"mean": "holds"}
