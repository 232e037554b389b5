"""What every layer can be asked: its answers are those of running it, and its arrays keep names."""

import functools
import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from cnnlab import nn
from cnnlab.models import Flatten, named_arrays
from cnnlab.ops import REFERENCE, Window

KEY = jax.random.key(0)
SHAPE = (9, 7, 4)
WEIGHTS = functools.partial(nn.filters.Explicit, max_length=9)
# One of each kind, with the names of its arrays, which are those in checkpoints.
LAYERS = {
    nn.Activation: (lambda: nn.Activation("relu"), ()),
    nn.AvgPool: (lambda: nn.AvgPool2d(3, 2, "SAME"), ()),
    nn.BatchNorm: (lambda: nn.BatchNorm(4), ("weight", "bias")),
    nn.BlurPool: (lambda: nn.BlurPool2d(2), ()),
    nn.Conv: (lambda: nn.Conv2d(4, 6, 3, 2, 1, (1, 2), 2, key=KEY), ("weight", "bias")),
    nn.ConvTranspose: (
        lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, key=KEY),
        ("weight", "bias"),
    ),
    nn.Dropout: (lambda: nn.Dropout(0.5, inference=True), ()),
    nn.FullyConnected: (
        lambda: nn.FullyConnected2d(4, 2, SHAPE[:-1], 2, key=KEY),
        ("weight", "bias"),
    ),
    nn.Gated: (
        lambda: nn.Gated(4, key=KEY),
        (
            *("project.weight", "project.bias", "short.weight", "short.bias"),
            *("long.filter.log_decay", "long.filter.frequency", "long.filter.output"),
            *("long.filter.log_step", "long.skip", "out.weight", "out.bias"),
        ),
    ),
    nn.GlobalPool: (lambda: nn.GlobalPool("max"), ()),
    nn.GroupNorm: (lambda: nn.GroupNorm(4, 2), ("weight", "bias")),
    nn.Identity: (nn.Identity, ()),
    nn.LayerNorm: (lambda: nn.LayerNorm(4), ("weight", "bias")),
    nn.LayerScale: (lambda: nn.LayerScale(4), ("weight",)),
    nn.Linear: (lambda: nn.Linear(4, 5, use_bias=False, key=KEY), ("weight",)),
    nn.LocallyConnected: (
        lambda: nn.LocallyConnected2d(4, 6, 3, SHAPE[:-1], 2, key=KEY),
        ("weight", "bias"),
    ),
    nn.MaxPool: (lambda: nn.MaxPool2d(2), ()),
    nn.PolyphasePool: (lambda: nn.PolyphasePool2d(2, (3, 7)), ()),
    nn.SeparableConv: (
        lambda: nn.SeparableConv2d(4, 6, 3, 2, channel_multiplier=2, key=KEY),
        ("depthwise.weight", "pointwise.weight", "pointwise.bias"),
    ),
    nn.SeparableLongConv: (
        lambda: nn.SeparableLongConv(2, 4, 6, 2, filter=WEIGHTS, key=KEY),
        (
            *("along[0].filter.weight", "along[0].future.weight", "along[0].skip"),
            *("along[1].filter.weight", "along[1].future.weight", "along[1].skip"),
            *("pointwise.weight", "pointwise.bias"),
        ),
    ),
    Flatten: (lambda: Flatten(SHAPE), ()),
}


def made(kind):
    return eqx.filter_eval_shape(eqx.nn.make_with_state(LAYERS[kind][0]))


def test_every_layer_is_asked():
    found = [v for v in vars(nn).values() if inspect.isclass(v) and issubclass(v, eqx.Module)]
    ranks = {v for v in found if v.__name__.endswith(("1d", "2d", "3d"))}
    abstract = {v for v in found if inspect.isabstract(v)}
    assert abstract == {nn.Convolution, nn.Layer, nn.Pool, nn.ShapePreserving, nn.WindowLayer}
    blocks = {nn.ConvBlock, nn.ConvNeXtBlock, nn.GatedBlock, nn.ResidualBlock}
    of_tokens = {nn.Embedding}
    assert ({*found} | {Flatten}) - ranks - abstract == {*blocks, *of_tokens, *LAYERS}
    assert all(issubclass(kind, nn.Layer) for kind in LAYERS)


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_answers_are_those_of_a_run(kind):
    layer, state = made(kind)
    stateful = isinstance(layer, eqx.nn.StatefulLayer)
    run = lambda layer, state, x: layer(x, state)[0] if stateful else layer(x)
    x = jax.ShapeDtypeStruct((2, *SHAPE), jnp.float32)
    assert (2, *layer.output_shape(SHAPE)) == eqx.filter_eval_shape(run, layer, state, x).shape
    multiplies = LAYERS[kind][1] and not isinstance(layer, nn.ShapePreserving)
    assert (layer.multiply_adds(SHAPE) > 0) == bool(multiplies)
    assert isinstance(layer.window, Window) == isinstance(layer, nn.WindowLayer)
    assert layer.window is None or layer.window.rank == layer.num_spatial_dims == 2


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_the_names_in_checkpoints(kind):
    assert tuple(named_arrays(made(kind)[0])) == LAYERS[kind][1]


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (nn.PointwiseConv2d, (4, 6)),
        (nn.DepthwiseConv2d, (4, 3)),
        (nn.GroupedConv2d, (4, 6, 3, 2)),
        (nn.LongConv2d, (4, 6, SHAPE[:-1])),
    ],
)
def test_a_variant_is_a_convolution(make, arguments):
    layer = make(*arguments, kernel_init="zeros", key=KEY)
    assert type(layer) is nn.Conv and tuple(named_arrays(layer)) == ("weight", "bias")
    # What it hands on is in its signature, what it fills in is not.
    parameters = inspect.signature(make).parameters
    assert {"key", "kernel_init", "padding_mode"} <= set(parameters)
    assert "num_spatial_dims" not in parameters and "options" not in parameters
    with pytest.raises(TypeError, match="kernel_innit"):
        make(*arguments, kernel_innit="zeros", key=KEY)


def test_the_algorithms_of_a_transposed_convolution_are_those_of_its_passes():
    up = nn.ConvTranspose2d(4, 6, 3, 2, algorithm=REFERENCE, kernel_init="zeros", key=KEY)
    assert up.algorithms((2, *SHAPE)) == (REFERENCE,) * 3
    assert up.problem((2, *SHAPE)).y_shape == (2, *SHAPE)
