"""Objects from nodes: refusals of arguments name the key; what is not given is asked for."""

import functools
import inspect
import pickle

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import pytest
from omegaconf import OmegaConf

from cnnlab.config import ConfigError, instantiate

LINEAR = {"_target_": "equinox.nn.Linear", "in_features": 3}


def test_plain_values_become_python_containers():
    made = instantiate(OmegaConf.create({"a": [1, {"b": None}], "c": "${a}", "d": 2.5}), key="x")
    assert made == {"a": [1, {"b": None}], "c": [1, {"b": None}], "d": 2.5}
    assert type(made) is dict
    assert type(made["a"]) is list
    assert instantiate(3, key="x") == 3
    assert instantiate(None, key="x") is None


def test_arguments_of_the_program_join_those_of_the_config():
    made = instantiate(
        OmegaConf.create(LINEAR),
        key="head",
        out_features=2,
        optional={"key": jr.key(0), "unheard_of": 1},
    )
    assert isinstance(made, eqx.nn.Linear)
    assert made(jnp.ones(3)).shape == (2,)


def test_nodes_within_a_node_are_made_first():
    schedule = {"_target_": "optax.linear_schedule", "init_value": 1.0, "end_value": 0.0}
    optimizer = {"_target_": "optax.sgd", "learning_rate": {**schedule, "transition_steps": 10}}
    made = instantiate({"pipeline": [optimizer, None]}, key="x")
    state = made["pipeline"][0].init(jnp.ones(2))
    assert made["pipeline"][1] is None
    updates, _ = made["pipeline"][0].update(jnp.ones(2), state)
    assert updates.tolist() == [-1.0, -1.0]


def test_a_partial_waits_for_the_rest():
    made = instantiate({**LINEAR, "_partial_": True}, key="conv", use_bias=False)
    assert isinstance(made, functools.partial)
    assert "out_features" in inspect.signature(made).parameters
    layer = made(out_features=4, key=jr.key(0))
    assert layer.bias is None
    assert layer.weight.shape == (4, 3)
    assert pickle.loads(pickle.dumps(made))(out_features=1, key=jr.key(0)).weight.shape == (1, 3)


def test_names_of_the_errors(targets):
    def network(plan, *, width=3, **_rest):
        if width < 0:
            raise ValueError(f"width: expected a number > 0, got {width}")
        if plan == "odd":
            raise TypeError("unsupported\noperands")
        raise ValueError(f"plan[3]: expected a channel count > 0 or 'M', got {plan}")

    target = targets.add(network)
    cases = [
        ({"plan": -64}, "backbone.plan[3]: expected a channel count > 0 or 'M', got -64"),
        ({"plan": 1, "width": -1}, "backbone.width: expected a number > 0, got -1"),
        ({"plan": "odd"}, "backbone: unsupported operands"),
    ]
    for arguments, message in cases:
        with pytest.raises(ConfigError) as caught:
            instantiate({"_target_": target, **arguments}, key="backbone")
        assert str(caught.value) == message
        assert isinstance(caught.value.__cause__, ValueError | TypeError)
        partial = instantiate({"_target_": target, "_partial_": True}, key="conv")
        with pytest.raises(ConfigError) as caught:
            partial(**arguments)
        assert str(caught.value) == message.replace("backbone", "conv")


def test_an_error_within_a_nested_node_keeps_the_inner_key(targets):
    def inner(size):
        raise ValueError("size: too small")

    def outer(part, make=None):
        return make()

    inner_target, outer_target = targets.add(inner), targets.add(outer)
    nested = {"_target_": outer_target, "part": [{"_target_": inner_target, "size": 1}]}
    with pytest.raises(ConfigError, match=r"^model\.part\[0\]\.size: too small$"):
        instantiate(nested, key="model")
    conv = instantiate({"_target_": inner_target, "_partial_": True, "size": 1}, key="conv")
    with pytest.raises(ConfigError, match=r"^conv\.size: too small$"):
        instantiate({"_target_": outer_target, "part": 1}, key="backbone", make=conv)


def test_other_errors_stay_themselves(targets):
    def broken():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        instantiate({"_target_": targets.add(broken)}, key="x")


@pytest.mark.parametrize(
    ("node", "given", "message"),
    [
        (
            {**LINEAR, "use_bia": False},
            {"out_features": 1},
            "head.use_bia: Linear has no such argument; did you mean use_bias?",
        ),
        ({**LINEAR, "xyzzy": 1}, {}, "head.xyzzy: Linear has no such argument; arguments: in_feat"),
        ({**LINEAR, "_recursive_": False}, {}, "head._recursive_: Linear has no such argument"),
        (LINEAR, {"in_features": 4}, "head.in_features: set by the program"),
        (LINEAR, {"in_shape": 4}, "head._target_: equinox.nn.Linear does not fit here"),
        (LINEAR, {}, "head.out_features: required by equinox.nn.Linear"),
        ({"in_features": 3}, {"out_features": 4}, "head: expected a mapping with a _target_"),
        (None, {"out_features": 4}, "head: expected a mapping with a _target_, got null"),
        ({**LINEAR, "_partial_": "yes"}, {}, "head._partial_: expected true or false, got 'yes'"),
        (OmegaConf.create({"a": "${nope}"}), {}, "head: Interpolation key 'nope' not found"),
        (OmegaConf.create({"a": "???"}), {}, "head: Missing mandatory value: a"),
    ],
)
def test_refused(node, given, message):
    with pytest.raises(ConfigError) as caught:
        instantiate(node, key="head", **given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_function_with_open_keywords_takes_them(targets):
    def factory(channels, **options):
        return channels, options

    node = {"_target_": targets.add(factory), "bias": True}
    made = instantiate(node, key="x", channels=3, optional={"spatial": 2})
    assert made == (3, {"bias": True})
