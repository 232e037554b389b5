"""The question `linear_collapse`: at a tiny scale, and its judge on made-up data."""

import pytest
from made_up import changed

from cnnlab.config import ConfigError
from experiments.linear_collapse import judge


def counts(outputs, differ, inside, differ_inside):
    return dict(outputs=outputs, differ=differ, inside=inside, differ_inside=differ_inside)


STACK = {
    "valid": counts(20, 0, 20, 0),
    "circular": counts(30, 0, 30, 0),
    "same": counts(30, 7, 20, 0),
    "nonlinear": 5,
}
DATA = {
    "stacks": [STACK, STACK],
    "uneven": [4, 6],
    "networks": {
        "relu": [{"accuracy": a} for a in (0.90, 0.91, 0.92)],
        "identity": [{"accuracy": a, "change": 1e-6} for a in (0.80, 0.80, 0.82)],
    },
}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def judged(*path, to):
    return verdicts(changed(DATA, path, to))


def test_tiny(tiny):
    result = tiny(
        *("linear_collapse", "dataset=digits", "stacks=2", "steps=20", "seeds=2", "plan=[4,M,4]")
    )
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["as_printed"] == "fails"
    assert found["equivalent"] == found["nonlinear"] == found["trained"] == "holds"
    assert result["data"]["networks"]["identity"][0]["kernel"] == [7, 7, 1, 4]
    # By hand: the corner of the stack lacks what the cut-off pixel would give, 3 * 1.
    picture = result["data"]["picture"]
    assert picture["composed"][0][:3] == [6, 5, 3] and picture["stack"][0][:3] == [3, 5, 3]


def test_a_seed_alone_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"^seeds: expected a whole number >= 2, got 1"):
        tiny("linear_collapse", "seeds=1")


def test_the_judge():
    expected = dict.fromkeys(verdicts(DATA), "holds") | {"as_printed": "fails"}
    assert verdicts(DATA) == expected
    assert judged("uneven", to=[0, 0]) == expected | {"as_printed": "holds"}
    for kind in ("valid", "circular"):
        assert judged("stacks", 0, kind, "differ", to=1) == expected | {"equivalent": "fails"}
    broken = judged("stacks", 1, "same", "differ_inside", to=2)
    assert broken == expected | {"equivalent": "fails"}
    assert judged("stacks", 0, "nonlinear", to=0) == expected | {"nonlinear": "fails"}
    broken = judged("networks", "identity", 2, "change", to=0.01)
    assert broken == expected | {"trained": "fails"}
    worse = [{"accuracy": a} for a in (0.70, 0.71, 0.72)]
    assert judged("networks", "relu", to=worse) == expected | {"power": "fails"}
    mixed = [{"accuracy": a} for a in (0.9, 0.7, 0.85)]
    assert judged("networks", "relu", to=mixed) == expected | {"power": "inconclusive"}
