"""Off the CPU nothing of the native engine is built, loaded or called: seen from a platform that is
not there."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from jax import lax

import cnnlab
from cnnlab import nn
from cnnlab.ops.native import ENGINE, engine


@pytest.fixture
def untouchable(monkeypatch):
    """The engine before its first use; whoever builds or loads it fails."""

    def touched(*arguments):
        raise AssertionError("the native engine was touched")

    for name in ("build", "_open", "find_onednn"):
        monkeypatch.setattr(engine, name, touched)
    monkeypatch.setattr(ENGINE, "_library", None)
    monkeypatch.setattr(ENGINE, "_reason", None)


def step(images):
    """A loss and its gradient in all parameters of a network with each kind of layer that the
    engine serves: dense, grouped, depthwise and long convolutions, with and without a bias and an
    activation, and pooling."""
    keys = jr.split(jr.key(0), 5)
    layers = [
        nn.Conv2d(4, 16, 3, padding="SAME", key=keys[0]),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding="SAME", groups=2, use_bias=False, key=keys[1]),
        nn.Conv2d(16, 16, 3, padding="SAME", groups=16, key=keys[2]),
        lambda x: x.reshape(len(x), 64, 16),
        nn.LongConv1d(16, key=keys[3]),
        lambda x: lax.conv_general_dilated(x, jnp.ones((3, 16, 4)), (1,), "SAME",
                                           dimension_numbers=("NHC", "HIO", "NHC")),
    ]  # fmt: skip

    def loss(layers, x):
        for layer in layers:
            x = layer(x, activation="relu") if isinstance(layer, nn.Conv2d) else layer(x)
        return (x**2).sum()

    return eqx.filter_value_and_grad(loss)(layers, images)[1][0].weight


def program(platform):
    with cnnlab.accelerated():
        fresh = jax.jit(lambda images: step(images))  # no program that was kept
        traced = fresh.trace(jnp.zeros((2, 16, 16, 4)))
        return traced.lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize(("backend", "platforms"), [("gpu", ("cuda", "cpu")), ("tpu", ("tpu",))])
def test_where_the_default_backend_is_another_nothing_of_the_engine_is_touched(
    backend, platforms, untouchable, monkeypatch
):
    """Whatever the program is for: on a machine with a GPU, say, also what its CPU computes."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    for platform in platforms:
        text = program(platform)
        assert "stablehlo.convolution" in text and "cnnlab_" not in text
    assert ENGINE.refusal() == f"made for the CPU, the default backend is {backend}"
    assert ENGINE._library is None


def test_a_program_for_another_platform_has_nothing_of_an_engine_that_is_there():
    """As `jax.export` makes one, say: the engine is this machine's."""
    assert ("cnnlab_" in program("cpu")) == (ENGINE.refusal() is None)
    for platform in ("cuda", "tpu"):
        assert "cnnlab_" not in program(platform)
