"""Objects from nodes: refusals of arguments name the key; what is not given is asked for."""

import functools
import inspect
import pickle

import jax.random as jr
import pytest
from omegaconf import OmegaConf

from cnnlab.config import ConfigError, instantiate
from cnnlab.models import MLP as MLPModel

MLP = {"_target_": "cnnlab.models.MLP", "widths": [2]}
KEY = {"key": jr.key(0), "unheard_of": 1}


def test_arguments_of_the_program_join_those_of_the_config():
    node = OmegaConf.create({**MLP, "dropout": "${share}", "share": 0.5})
    del node["share"]
    node = OmegaConf.create({"backbone": node, "share": 0.5}).backbone
    made = instantiate(node, key="backbone", in_shape=(3,), optional=KEY)
    assert isinstance(made, MLPModel)
    assert made.out_shape == (2,)
    assert made.stages[0].layers[2].p == 0.5


def test_a_partial_waits_for_the_rest():
    node = {"_target_": "cnnlab.nn.factories.pointwise", "_partial_": True}
    made = instantiate(node, key="conv", use_bias=False)
    assert isinstance(made, functools.partial)
    assert "out_channels" in inspect.signature(made).parameters
    given = {"in_channels": 3, "spatial_shape": (2,), "key": jr.key(0)}
    assert made(out_channels=4, **given).bias is None
    assert pickle.loads(pickle.dumps(made))(out_channels=1, **given).weight.shape == (1, 3, 1)


def test_names_of_the_errors(targets):
    def network(plan, *, width=3, **_rest):
        if width < 0:
            raise ValueError(f"width: expected a number > 0, got {width}")
        if plan == "odd":
            raise TypeError("unsupported\noperands")
        raise ValueError(f"plan[3]: expected a channel count > 0 or 'M', got {plan}")

    target = targets.add(network, ("backbone", "conv"), plan="anything", width="whole number")
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

    inner_target = targets.add(inner, ("initializer", "conv"), size="whole number")
    outer_target = targets.add(
        outer, part="whole number or mapping whose _target_ is an initializer of x"
    )
    nested = {"_target_": outer_target, "part": {"_target_": inner_target, "size": 1}}
    with pytest.raises(ConfigError, match=r"^backbone\.part\.size: too small$"):
        instantiate(nested, key="backbone")
    conv = instantiate({"_target_": inner_target, "_partial_": True, "size": 1}, key="conv")
    with pytest.raises(ConfigError, match=r"^conv\.size: too small$"):
        instantiate({"_target_": outer_target, "part": 1}, key="backbone", make=conv)


def test_other_errors_stay_themselves(targets):
    def broken():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        instantiate({"_target_": targets.add(broken)}, key="backbone")


@pytest.mark.parametrize(
    ("node", "given", "message"),
    [
        ({**MLP, "width": 1}, {}, "backbone.width: MLP has no such argument; did you mean widths?"),
        ({**MLP, "xyzzy": 1}, {}, "backbone.xyzzy: MLP has no such argument; arguments: widths, "),
        ({**MLP, "_recursive_": 0}, {}, "backbone._recursive_: MLP has no such argument"),
        ({**MLP, "key": 4}, {}, "backbone.key: MLP has no such argument"),  # the program's own
        ({**MLP, "widths": [0]}, {}, "backbone.widths[0]: expected a channel count > 0, got 0"),
        (MLP, {"num_classes": 4}, "backbone._target_: cnnlab.models.MLP does not fit here"),
        (MLP, {}, "backbone.in_shape: required by cnnlab.models.MLP"),
        ({"widths": 3}, {}, "backbone: expected a mapping with a _target_"),
        (None, {}, "backbone: expected a mapping with a _target_, got null"),
        ({**MLP, "_partial_": "yes"}, {}, "backbone._partial_: expected false, got 'yes'"),
        (OmegaConf.create({"a": "${nope}"}), {}, "backbone: Interpolation key 'nope' not found"),
        (OmegaConf.create({"a": "???"}), {}, "backbone: Missing mandatory value: a"),
    ],
)
def test_refused(node, given, message):
    with pytest.raises(ConfigError) as caught:
        instantiate(node, key="backbone", **given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_function_with_open_keywords_takes_them(targets):
    def factory(channels, **options):
        return channels, options

    node = {"_target_": targets.add(factory, bias="true or false"), "bias": True}
    made = instantiate(node, key="backbone", channels=3, optional={"spatial": 2})
    assert made == (3, {"bias": True})
