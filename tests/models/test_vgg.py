"""Backbones: plans, the example architecture of A 4.8, every rank and every convolution."""

import functools as ft
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.models import (
    MLP,
    PLANS,
    VGG,
    Classifier,
    LinearHead,
    feature_info,
    named_arrays,
    prototype,
    with_arrays,
)
from cnnlab.models.plan import parse_plan
from cnnlab.models.trace import trace
from cnnlab.nn import factories

CONVS = {
    "dense": {},
    "dilated": {},
    "fully_connected": {},
    "grouped": {"groups": 2},
    "depthwise": {},
    "depthwise_separable": {},
    "locally_connected": {},
    "long": {},
    "pointwise": {},
}
FACTORIES = {name: ft.partial(getattr(factories, name), **o) for name, o in CONVS.items()}


def abstract(make_model, *args, **kwargs):
    return eqx.filter_eval_shape(eqx.nn.make_with_state(make_model), *args, **kwargs)


def size(model):
    return sum(a.size for a in named_arrays(model).values())


def test_prototype_has_the_shapes_of_the_chapter(getkey):
    # A 4.8, from the 64x64 RGB image to the ten class scores.
    def build(key):
        backbone = prototype((64, 64, 3), key=key)
        return Classifier(backbone, LinearHead(backbone.out_shape, 10, key=key))

    model, state = abstract(build, getkey())
    shapes = [call.out_shape for call in trace(model, (64, 64, 3), state)]
    distinct = [shape for i, shape in enumerate(shapes) if i == 0 or shape != shapes[i - 1]]
    assert distinct == [(64, 64, 32), (32, 32, 32), (32, 32, 64), (16, 16, 64), (64,), (10,)]
    # Two 3x3 convolutions and one dense layer, each with a bias.
    assert size(model) == (9 * 3 * 32 + 32) + (9 * 32 * 64 + 64) + (64 * 10 + 10)
    batch = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    assert eqx.filter_eval_shape(model, batch, state)[0].shape == (2, 10)


def test_prototype_is_convolution_relu_pool(getkey, make):
    backbone, state = make(prototype, (6, 6, 1), key=getkey())
    x = jax.random.normal(getkey(), (1, 6, 6, 1))
    expected = x
    for stage in backbone.stages:
        conv = next(
            c.layer for c in trace(stage, expected.shape[1:]) if isinstance(c.layer, nn.Conv)
        )
        y = jax.lax.conv_general_dilated(
            expected, conv.weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = np.maximum(np.asarray(y + conv.bias), 0)
        n, h, w, c = y.shape
        pad = ((0, 0), (0, h % 2), (0, w % 2), (0, 0))
        y = np.pad(y, pad, constant_values=-np.inf)
        expected = y.reshape(n, -(-h // 2), 2, -(-w // 2), 2, c).max((2, 4))
    features, _ = backbone(x, state)
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-5)


# Simonyan and Zisserman, convolutional parts for RGB: torchvision's vgg*.features count these.
PUBLISHED = {"vgg11": 9_220_480, "vgg13": 9_404_992, "vgg16": 14_714_688, "vgg19": 20_024_384}


@pytest.mark.parametrize("name", PLANS)
def test_vgg_has_the_published_number_of_parameters(name, getkey):
    backbone = eqx.filter_eval_shape(VGG, (224, 224, 3), name, conv=factories.dense, key=getkey())
    leaves = [x for x in jax.tree.leaves(backbone) if isinstance(x, jax.ShapeDtypeStruct)]
    assert sum(x.size for x in leaves) == PUBLISHED[name]
    assert backbone.out_shape == (7, 7, 512)
    weights = [x for x in leaves if x.ndim == 4]
    assert len(weights) == int(name.removeprefix("vgg")) - 3  # the rest are dense layers


@pytest.mark.parametrize("pool", ["max", "avg", "stride"])
def test_halving(pool, getkey):
    plan = [4, 4, "M", 6, 6, "M", 8]
    backbone, state = abstract(VGG, (9, 12, 2), plan, conv=factories.dense, pool=pool, key=getkey())
    calls = trace(backbone, (9, 12, 2), state)
    kinds = [type(call.layer).__name__ for call in calls]
    pools = [kind for kind in kinds if "Pool" in kind]
    assert len(pools) == (0 if pool == "stride" else 2)
    strided = [c for c in calls if isinstance(c.layer, nn.Conv) and set(c.layer.stride) == {2}]
    # A 4.7: the last convolution of a block halves the map, and only there.
    assert [c.out_shape for c in strided] == ([(5, 6, 4), (3, 3, 6)] if pool == "stride" else [])
    assert [f.shape for f in feature_info(backbone)] == [(5, 6, 4), (3, 3, 6), (3, 3, 8)]
    x = jax.ShapeDtypeStruct((2, 9, 12, 2), jnp.float32)
    assert eqx.filter_eval_shape(backbone, x, state)[0].shape == (2, 3, 3, 8)
    assert backbone.out_shape == (3, 3, 8)


def test_average_pool_averages(getkey, make):
    kwargs = {"conv": factories.dense, "activation": "identity", "key": getkey()}
    pooled, state = make(VGG, (4, 4, 1), [3, "M"], pool="avg", **kwargs)
    plain, _ = with_arrays(*abstract(VGG, (4, 4, 1), [3], **kwargs), named_arrays(pooled))
    x = jax.random.normal(getkey(), (4, 4, 1))
    maps = np.asarray(plain(x, state)[0])
    expected = maps.reshape(2, 2, 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(pooled(x, state)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("use_bias", [None, True, False])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm])
def test_bias_follows_norm(norm, use_bias, getkey):
    backbone, _ = abstract(
        VGG, (8, 3), [5, 5], conv=factories.dense, norm=norm, use_bias=use_bias, key=getkey()
    )
    convs = [c.layer for c in trace(backbone, (8, 3)) if isinstance(c.layer, nn.Conv)]
    expected = (norm is None) if use_bias is None else use_bias
    assert [conv.bias is not None for conv in convs] == [expected] * 2


@pytest.mark.parametrize("spatial", [(10,), (6, 5), (4, 3, 5)])
@pytest.mark.parametrize("name", FACTORIES)
def test_every_convolution_in_every_rank(name, spatial, getkey):
    conv = FACTORIES[name]
    in_shape = (*spatial, 2)
    for pool in ("max", "stride"):
        backbone, state = abstract(
            VGG, in_shape, [4, "M", 4], conv=conv, norm=nn.BatchNorm, pool=pool, key=getkey()
        )
        halved = tuple(-(-n // 2) for n in spatial)
        assert backbone.out_shape == (*halved, 4)
        x = jax.ShapeDtypeStruct((3, *in_shape), jnp.float32)
        out, _ = eqx.filter_eval_shape(backbone, x, state)
        assert out.shape == (3, *backbone.out_shape)


def test_every_factory_is_tested():
    public = [
        name
        for name, value in vars(factories).items()
        if inspect.isfunction(value)
        and value.__module__ == factories.__name__
        and not name.startswith("_")
    ]
    assert set(public) == set(CONVS)


@pytest.mark.parametrize("spatial", [(8,), (6, 4), (4, 4, 4)])
def test_any_batch_axes_give_the_same_numbers(spatial, getkey, make):
    backbone, state = make(VGG, (*spatial, 2), [4, "M"], conv=factories.dense, key=getkey())
    x = jax.random.normal(getkey(), (2, 3, *spatial, 2))
    run = lambda x: backbone(x, state)[0]
    batched, mapped = jax.jit(lambda x: (run(x), jax.vmap(jax.vmap(run))(x)))(x)
    np.testing.assert_allclose(batched, mapped, rtol=1e-5, atol=1e-6)


def test_batch_norm_updates_its_state_only_in_training(getkey, make):
    backbone, state = make(VGG, (8, 2), [4], conv=factories.dense, norm=nn.BatchNorm, key=getkey())
    before = jax.tree.leaves(state)
    x = 3 + jax.random.normal(getkey(), (5, 8, 2))
    _, trained = backbone(x, state)
    assert not any(map(np.array_equal, before, jax.tree.leaves(trained)))
    _, same = eqx.nn.inference_mode(backbone)(x, trained)
    assert all(map(np.array_equal, jax.tree.leaves(trained), jax.tree.leaves(same)))


def test_dropout_needs_a_key_and_is_off_in_inference(getkey, make):
    backbone, state = make(
        VGG, (8, 2), [4, "M", 4], conv=factories.dense, dropout=0.5, key=getkey()
    )
    x = jax.random.normal(getkey(), (5, 8, 2))
    run = jax.jit(lambda key: backbone(x, state, key=key)[0])
    one, two = run(jax.random.key(1)), run(jax.random.key(2))
    assert not np.array_equal(one, two)
    inference = eqx.nn.inference_mode(backbone)
    np.testing.assert_array_equal(inference(x, state)[0], inference(x, state)[0])


def test_mlp_is_the_formula_of_the_chapter(getkey, make):
    mlp, state = make(MLP, (3, 4, 2), [7, 5], activation="tanh", key=getkey())
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float32)
    h = x.reshape(2, -1)  # vect(X), A 1.3
    for stage in mlp.stages:
        linear = stage.layers[0]
        h = np.einsum("bi,oi->bo" if linear.weight.shape[0] != h.shape[1] else "bi,io->bo",
                      h, linear.weight)  # fmt: skip
        h = np.tanh(h + linear.bias)
    features, _ = mlp(jnp.asarray(x), state)
    np.testing.assert_allclose(features, h, rtol=1e-5, atol=1e-5)
    assert mlp.out_shape == (5,)
    assert size(mlp) == (24 * 7 + 7) + (7 * 5 + 5)


def test_mlp_without_widths_is_the_flattened_input(getkey, make):
    mlp, state = make(MLP, (3, 2), [], key=getkey())
    x = jnp.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(mlp(x, state)[0], x.reshape(2, 6))
    assert mlp.out_shape == (6,)


def test_plan_splits_at_pools():
    assert parse_plan([1, 2, "M", 3]) == (((1, 2), True), ((3,), False))
    assert parse_plan("vgg11")[0] == ((64,), True)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ([32, 32, "M", -64], "plan[3]: expected a channel count > 0 or 'M', got -64"),
        ([0], "plan[0]: expected a channel count > 0 or 'M', got 0"),
        ([8, 1.5], "plan[1]: expected a channel count > 0 or 'M', got 1.5"),
        ([8, True], "plan[1]: expected a channel count > 0 or 'M', got True"),
        ([8, "m"], "plan[1]: expected a channel count > 0 or 'M', got 'm'"),
        (["M", 8], "plan[0]: expected a channel count before a pool, got 'M'"),
        ([8, "M", "M"], "plan[2]: expected a channel count before a pool, got 'M'"),
        ([], "plan: expected at least one channel count, got []"),
        (
            "vgg12",
            "plan: expected a list or one of vgg11, vgg13, vgg16, vgg19, got 'vgg12', "
            "did you mean 'vgg19'?",
        ),
    ],
)
def test_bad_plans(plan, message, getkey):
    with pytest.raises(ValueError) as error:
        VGG((8, 8, 1), plan, conv=factories.dense, key=getkey())
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ({"pool": "mean"}, "pool: expected one of avg, blur, max, polyphase, stride, got 'mean'"),
        ({"in_shape": (8,)}, "in_shape: "),
        ({"in_shape": (2, 2, 2, 2, 3)}, "in_shape: "),
        ({"in_shape": (0, 8, 3)}, "in_shape[0]: "),
        ({"activation": "rleu"}, "activation: "),
        ({"dropout": 1.5}, "dropout: "),
        ({"kernel_size": 0}, "kernel_size: "),
    ],
)
def test_bad_arguments(arguments, start, getkey):
    arguments = {"in_shape": (8, 8, 1), "plan": [4, "M"], **arguments}
    with pytest.raises(ValueError) as error:
        VGG(conv=factories.dense, key=getkey(), **arguments)
    assert str(error.value).startswith(start)
    assert "\n" not in str(error.value)


def test_bad_widths(getkey):
    with pytest.raises(ValueError, match=r"^widths\[1\]: expected an int > 0, got -3$"):
        MLP((4, 4, 1), [8, -3], key=getkey())
