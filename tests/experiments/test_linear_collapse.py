"""The question `linear_collapse`: at a tiny scale, and its judge on made-up data."""

import jax.numpy as jnp
import numpy as np
import pytest
from experiments.linear_collapse import question
from experiments.linear_collapse.stacks import with_relu
from made_up import changed

from cnnlab.analysis.composition import LinearConv
from cnnlab.config import ConfigError


def counts(padding, outputs, differ, inside, differ_inside):
    row = {"padding": padding, "outputs": outputs, "differ": differ}
    return row | {"inside": inside, "differ_inside": differ_inside}


def network(activation, *accuracies, **more):
    return [{"activation": activation, "accuracy": a, **more} for a in accuracies]


STACK = [
    counts("valid", 20, 0, 20, 0),
    counts("circular", 30, 0, 30, 0),
    counts("same", 30, 7, 20, 0),
]
LINEAR = network("identity", 0.80, 0.80, 0.82, change=1e-6)
DATA = {
    "stacks": [*STACK, *STACK],
    "relu": [{"bent": 5, "constant": False}, {"bent": 5, "constant": False}],
    "matrices": [{"uneven": 4}, {"uneven": 6}],
    "baseline": 60.0,
    "networks": [*network("relu", 0.90, 0.91, 0.92), *LINEAR],
}


def test_tiny(tiny):
    result = tiny(
        *("linear_collapse", "dataset=digits", "stacks=2", "steps=20", "seeds=2", "plan=[4,M,4]")
    )
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    assert found["as_printed"] == "fails"
    assert found["equivalent"] == found["nonlinear"] == found["trained"] == "holds"
    linear = [row for row in result["data"]["networks"] if row["activation"] == "identity"]
    assert linear[0]["kernel"] == [7, 7, 1, 4]
    paddings = [row["padding"] for row in result["data"]["stacks"]]
    assert paddings == ["valid", "circular", "same"] * 2
    # By hand: the corner of the stack lacks what the cut-off pixel would give, 3 * 1.
    picture = result["data"]["picture"]
    assert picture["composed"][0][:3] == [6, 5, 3] and picture["stack"][0][:3] == [3, 5, 3]


@pytest.mark.parametrize(
    ("second", "found"),
    [(1, {"bent": 2, "constant": False}), (-1, {"bent": 0, "constant": True})],
)
def test_a_stack_whose_relus_are_off_is_constant(second, found):
    """relu(c relu(x)) of two numbers, x and -x: |x|, and nothing with a negative c."""
    layer = lambda weight: LinearConv(
        np.full((1, 1, 1), weight), np.zeros(1), (1,), (1,), ((0, 0),)
    )
    assert with_relu([layer(1), layer(second), layer(1)], jnp.array([[[3.0], [-2.0]]])) == found


def test_a_seed_alone_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"^seeds: expected a whole number >= 2, got 1"):
        tiny("linear_collapse", "seeds=1")


def test_the_judge(verdicts):
    judged = lambda *path, to: verdicts(question, changed(DATA, path, to))
    expected = dict.fromkeys(verdicts(question, DATA), "holds") | {"as_printed": "fails"}
    assert verdicts(question, DATA) == expected
    assert judged("matrices", to=[{"uneven": 0}]) == expected | {"as_printed": "holds"}
    for i in (0, 1):  # valid, circular
        assert judged("stacks", i, "differ", to=1) == expected | {"equivalent": "fails"}
    assert judged("stacks", 5, "differ_inside", to=2) == expected | {"equivalent": "fails"}
    both = {"nonlinear": "fails", "alive": "fails"}
    assert judged("relu", 0, "bent", to=0) == expected | both
    dead = {**DATA, "relu": [{"bent": 5, "constant": False}, {"bent": 0, "constant": True}]}
    assert verdicts(question, dead) == expected | {"nonlinear": "fails"}
    assert judged("networks", 5, "change", to=0.01) == expected | {"trained": "fails"}
    worse = [*network("relu", 0.70, 0.71, 0.72), *LINEAR]
    assert judged("networks", to=worse) == expected | {"power": "fails"}
    mixed = [*network("relu", 0.9, 0.7, 0.85), *LINEAR]
    assert judged("networks", to=mixed) == expected | {"power": "inconclusive"}
