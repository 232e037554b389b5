"""Off the CPU nothing of the native engine is built, loaded or called: seen from a platform that is
not there."""

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from cnnlab import ops
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
    engine serves: dense, grouped, depthwise and long convolutions, with and without a bias, and
    pooling."""
    keys = iter(jr.split(jr.key(0), 8))
    shapes = {"dense": (3, 3, 4, 16), "grouped": (3, 3, 8, 16), "depthwise": (3, 3, 1, 16)}
    kernels = {name: jr.normal(next(keys), shape) for name, shape in shapes.items()}
    kernels["long"] = jr.normal(next(keys), (64, 1, 16))

    def loss(kernels):
        x = ops.conv(images, kernels["dense"])
        x = ops.max_pool(x, (2, 2))
        x = ops.conv(x, kernels["grouped"], groups=2)
        x = ops.conv(x, kernels["depthwise"], groups=16)
        x = x.reshape(len(x), 64, 16)
        return (ops.conv(x, kernels["long"], groups=16, padding="CAUSAL") ** 2).sum()

    return jax.value_and_grad(loss)(kernels)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_a_training_step_for_another_platform_has_nothing_of_the_engine(
    platform, untouchable, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    traced = jax.jit(step).trace(jnp.zeros((2, 16, 16, 4)))
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert "stablehlo.convolution" in text and "cnnlab_" not in text
    assert ENGINE.refusal() == f"made for the CPU, the default backend is {platform}"
    assert ENGINE._library is None
