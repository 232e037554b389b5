"""Heads against plain NumPy, and the checks of a classifier."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.models import MLP, VGG, Classifier, ConvHead, LinearHead, MLPHead
from cnnlab.nn import factories

POOLS = {"avg": np.mean, "max": np.max, "sum": np.sum}


def apply(linear, x):
    return x @ np.asarray(linear.weight) + np.asarray(linear.bias)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("in_shape", [(5, 4), (3, 2, 4), (2, 3, 2, 4)])
def test_linear_head(in_shape, pool, getkey, make):
    head, state = make(LinearHead, in_shape, 6, pool=pool, key=getkey())
    x = np.random.default_rng(0).normal(size=(2, *in_shape)).astype(np.float32)
    pooled = POOLS[pool](x, axis=tuple(range(1, x.ndim - 1)))
    logits, _ = head(jnp.asarray(x), state)
    assert logits.shape == (2, 6)
    np.testing.assert_allclose(logits, apply(head.linear, pooled), rtol=1e-4, atol=1e-5)


def test_linear_head_on_a_flattened_map_knows_places(getkey, make):
    head, state = make(LinearHead, (3, 3, 2), 4, pool="flatten", key=getkey())
    x = np.random.default_rng(0).normal(size=(5, 3, 3, 2)).astype(np.float32)
    logits, _ = head(jnp.asarray(x), state)
    np.testing.assert_allclose(logits, apply(head.linear, x.reshape(5, 18)), rtol=1e-4, atol=1e-5)
    assert head.linear.weight.size == 18 * 4


@pytest.mark.parametrize("pool", ["avg", "flatten"])
def test_mlp_head(pool, getkey, make):
    head, state = make(MLPHead, (2, 3, 4), 5, hidden=[7, 6], pool=pool, key=getkey())
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    h = x.mean((1, 2)) if pool == "avg" else x.reshape(2, -1)
    for stage in head.stages:
        h = np.maximum(apply(stage.layers[0], h), 0)
    logits, _ = head(jnp.asarray(x), state)
    np.testing.assert_allclose(logits, apply(head.linear, h), rtol=1e-4, atol=1e-5)


def test_mlp_head_drops_hidden_units(getkey, make):
    head, state = make(MLPHead, (2, 4), 3, dropout=0.5, key=getkey())
    x = jnp.ones((2, 2, 4))
    assert not np.array_equal(
        head(x, state, key=jax.random.key(0))[0], head(x, state, key=jax.random.key(1))[0]
    )


@pytest.mark.parametrize("pool", ["avg", "sum", "none"])
def test_conv_head_then_pooling_is_pooling_then_linear(pool, getkey, make):
    # A 1x1 convolution is a dense layer per position (A 5.1), and the mean commutes with it.
    head, state = make(ConvHead, (3, 4, 5), 2, pool=pool, key=getkey())
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    matrix = np.asarray(head.conv.weight).reshape(5, 2)
    scores = x @ matrix + np.asarray(head.conv.bias)
    logits, _ = head(jnp.asarray(x), state)
    expected = scores if pool == "none" else POOLS[pool](scores, axis=(1, 2))
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("head", "arguments", "message"),
    [
        (LinearHead, {"pool": "mean"}, "pool: expected one of avg, flatten, max, sum, got 'mean'"),
        (LinearHead, {"num_classes": 0}, "num_classes: expected an int > 0, got 0"),
        (MLPHead, {"hidden": (4, 0)}, "hidden[1]: expected an int > 0, got 0"),
        (ConvHead, {"pool": "flatten"}, "pool: expected one of avg, max, none, sum, got 'flatten'"),
        (ConvHead, {"in_shape": (4,)}, "in_shape: expected (*spatial, channels), got (4,)"),
    ],
)
def test_bad_arguments(head, arguments, message, getkey):
    arguments = {"in_shape": (4, 4, 2), "num_classes": 3, **arguments}
    with pytest.raises(ValueError) as error:
        head(key=getkey(), **arguments)
    assert str(error.value).startswith(message)


def classifier(key, pool="avg", head_shape=None):
    backbone = VGG((8, 8, 1), [4, "M"], conv=factories.dense, key=key)
    return Classifier(backbone, LinearHead(head_shape or backbone.out_shape, 3, pool=pool, key=key))


def test_a_head_must_fit_its_backbone(getkey):
    with pytest.raises(ValueError) as error:
        classifier(getkey(), head_shape=(8, 8, 4))
    assert str(error.value) == (
        "head: expected a head for features of shape (4, 4, 4), got one for (8, 8, 4)"
    )


def test_flattening_refuses_another_resolution_and_pooling_takes_it(getkey, make):
    x = jnp.zeros((2, 12, 12, 1))
    model, state = make(classifier, getkey())
    assert model(x, state)[0].shape == (2, 3)  # A 4.9, point 2
    model, state = make(classifier, getkey(), pool="flatten")
    with pytest.raises(ValueError, match=r"^x: expected \(\*batch, 4, 4, 4\), got"):
        model(x, state)


def test_classifier_gives_backbone_and_head_different_keys(getkey, make):
    def build(key):
        backbone = MLP((6,), [50], dropout=0.5, key=key)
        return Classifier(backbone, MLPHead((50,), 3, hidden=[50], dropout=0.5, key=key))

    model, state = make(build, getkey())
    assert model.in_shape == (6,) and model.num_classes == 3
    x = jax.random.normal(getkey(), (4, 6))
    key = jax.random.key(0)
    one, two = jax.random.split(key)
    features, _ = model.backbone(x, state, key=one)
    expected, _ = model.head(features, state, key=two)
    np.testing.assert_array_equal(model(x, state, key=key)[0], expected)
