"""Activation maps against loops, and where they must be largest."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.analysis import activations
from cnnlab.models import VGG, Classifier, LinearHead


@pytest.fixture(scope="module")
def network():
    def make(key):
        backbone = VGG((8, 8, 1), [3, "M", 4], norm=nn.BatchNorm, key=key)
        return Classifier(backbone, LinearHead(backbone.out_shape, 5, key=key))

    return eqx.filter_jit(eqx.nn.make_with_state(make))(jr.key(0))


def layer(cls, *args, **options):
    made = cls(*args, kernel_init="zeros", key=jr.key(0), **options)
    rng = np.random.default_rng(1)
    random = lambda a: jax.device_put(rng.standard_normal(a.shape).astype(np.float32))
    return eqx.tree_at(lambda m: (m.weight, m.bias), made, replace_fn=random)


CONVS = {
    "plain": lambda: layer(nn.Conv2d, 2, 3, 3),
    "uneven": lambda: layer(nn.Conv2d, 2, 4, (3, 2), (2, 1), ((1, 0), 2), (1, 2), groups=2),
    "reflected": lambda: layer(nn.Conv2d, 1, 2, 3, padding_mode="reflect"),
    "flipped sequence": lambda: layer(nn.Conv1d, 2, 2, 4, flip=True),
    "depthwise": lambda: layer(nn.DepthwiseConv2d, 3, 3, channel_multiplier=2),
}


@pytest.mark.parametrize("name", list(CONVS))
def test_correlation_is_the_layer(name):
    conv = CONVS[name]()
    shape = (7, 6)[: conv.num_spatial_dims]
    x = jr.normal(jr.key(2), (*shape, conv.in_channels))
    found = activations.correlation_maps(conv, x)
    np.testing.assert_allclose(found, conv(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", list(CONVS))
def test_a_filter_answers_to_itself(name):
    conv = CONVS[name]()
    assert activations.template_errors(conv, seed=0) == (0, conv.out_channels)


def test_a_layer_that_answers_elsewhere():
    """Maps moved by one position are largest one position off."""

    class Other(nn.Conv2d):
        def __call__(self, x, **options):
            return jnp.roll(super().__call__(x, **options), 1, axis=1)

    assert activations.template_errors(layer(Other, 1, 3, 3), seed=0) == (3, 3)


def test_maps_of_every_stage(network):
    model, state = network
    xs = jr.normal(jr.key(1), (2, 8, 8, 1))
    maps = activations.activation_maps(model, state, xs)
    assert maps.first.shape == (2, 8, 8, 3)
    assert [m.shape for m in maps.stages] == [(2, 4, 4, 3), (2, 4, 4, 4)]
    features, _ = eqx.nn.inference_mode(model).backbone(xs, state)
    np.testing.assert_allclose(maps.stages[-1], features, rtol=1e-6)
    found = activations.stage_fields(model, (8, 8, 1), state)
    assert [(f.size, f.stride) for f in found] == [((4, 4), (2, 2)), ((8, 8), (2, 2))]


def test_maps_move_with_the_image(network):
    model, state = network
    image = jr.normal(jr.key(1), (8, 8, 1))
    errors = activations.layout_errors(model, state, image, jnp.array([0.5]))
    assert len(errors) == 2 and max(errors) < 1e-5
