"""Composed kernels against the layers one after another, and by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.analysis.composition import (
    LinearConv,
    apply_linear,
    compose_pair,
    compose_stack,
    layer_of,
    unpadded,
)

NONE = ((0, 0),)


def one_channel(*weights, stride=1, dilation=1, padding=NONE):
    kernel = np.asarray(weights, float)[:, None, None]
    return LinearConv(kernel, np.zeros(1), (stride,), (dilation,), padding)


def integers(rng, *shape):
    return rng.integers(-3, 4, shape).astype(float)


def random_stack(rng, rank, depth=3):
    channels = rng.integers(1, 4, depth + 1)
    layers = []
    for c_in, c_out in itertools.pairwise(channels):
        some = lambda most: tuple(int(n) for n in rng.integers(1, most + 1, rank))
        kernel = integers(rng, *some(3), c_in, c_out)
        padding = ((0, 0),) * rank
        layers.append(LinearConv(kernel, integers(rng, c_out), some(3), some(2), padding))
    return layers


def run(layers, x, mode="zeros"):
    @jax.jit
    def stack(x):
        for layer in layers:
            x = apply_linear(layer, x, mode)
        return x

    return np.asarray(stack(x))


def test_two_kernels_by_hand():
    both = compose_pair(one_channel(1, 2, 3), one_channel(1, 10))
    assert both.kernel[:, 0, 0].tolist() == [1, 12, 23, 30]
    strided = compose_pair(one_channel(1, 2, stride=2), one_channel(1, 10, stride=3))
    assert strided.kernel[:, 0, 0].tolist() == [1, 2, 10, 20] and strided.stride == (6,)
    dilated = compose_pair(one_channel(1, 2, dilation=3), one_channel(1, 10, dilation=2))
    assert dilated.kernel[:, 0, 0].tolist() == [1, 0, 10, 2, 0, 20] and dilated.dilation == (1,)
    padded = compose_pair(
        one_channel(1, stride=2, padding=((1, 0),)), one_channel(1, padding=((3, 2),))
    )
    assert padded.padding == ((7, 4),)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_stack_is_the_composed_layer(rank):
    rng = np.random.default_rng(rank)
    for _ in range(3):
        layers = random_stack(rng, rank, depth=3 if rank < 3 else 2)
        composed = compose_stack(layers)
        sizes = [e + s for e, s in zip(composed.extent, composed.stride, strict=True)]
        x = jax.device_put(integers(rng, 2, *sizes, layers[0].kernel.shape[-2]).astype(np.float32))
        expected = run(layers, x)
        assert expected.shape[1:-1] == (2,) * rank == composed.out(sizes)
        assert np.array_equal(expected, run([composed], x))


def test_padding_circular_and_zeros():
    layers = [one_channel(1, 2, 3, padding=((1, 1),)), one_channel(2, 1, 5, padding=((1, 1),))]
    x = jax.device_put(np.arange(1.0, 9, dtype=np.float32)[None, :, None])
    composed = compose_stack(layers)
    assert np.array_equal(run(layers, x, "circular"), run([composed], x, "circular"))
    inside = unpadded(layers, (8,))
    assert inside.tolist() == [False, *[True] * 6, False]
    same = (run(layers, x) == run([composed], x))[0, :, 0]
    assert same.tolist() == inside.tolist()


def test_unpadded_by_a_stack_of_ones():
    # A map of ones is not one where a window reads zeros.
    layers = [
        one_channel(1, 1, padding=((1, 1),)),
        one_channel(1, 1, 1, stride=2, padding=((2, 0),)),
        one_channel(1, 1, dilation=2, padding=((0, 2),)),
    ]
    x = jnp.ones((1, 13, 1))
    x = apply_linear(
        layers[1], jnp.ones((1, 14, 1))
    )  # the first layer's result, whatever its padding
    counts = np.asarray(apply_linear(layers[2], x))[0, :, 0]
    assert (counts == 6).tolist() == unpadded(layers, (13,)).tolist()


def test_a_layer_of_a_network(getkey):
    conv = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding="SAME", flip=True, key=getkey())
    layer = layer_of(conv, (5, 4))
    x = jax.device_put(np.random.default_rng(0).standard_normal((1, 5, 4, 2)).astype(np.float32))
    np.testing.assert_allclose(apply_linear(layer, x), conv(x), rtol=1e-5, atol=1e-5)
    assert layer.extent == (3, 2) and layer.padding == ((1, 1), (0, 1))
    with pytest.raises(ValueError, match=r"^conv: expected one group, got 2"):
        layer_of(nn.Conv1d(2, 2, 3, groups=2, key=getkey()), (4,))
