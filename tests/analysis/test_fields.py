"""Receptive fields: closed form against gradients and against fields counted by hand."""

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab import nn, ops
from cnnlab.analysis import fields as rf


def chain(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def conv(rank, kernel, **options):
    return nn.Conv(
        rank, 1, 1, kernel, kernel_init="ones", algorithm=ops.REFERENCE, key=jr.key(0), **options
    )


def test_fields_by_hand():
    layers = [
        conv(1, 3),  # outputs i see i - 1 .. i + 1
        nn.MaxPool1d(2),  # 2 i and 2 i + 1 of those: 2 i - 1 .. 2 i + 2
        conv(1, 3, dilation=2, padding="VALID"),  # i, i + 2, i + 4 of those
        conv(1, 2, stride=3, padding=((1, 0),)),  # 3 i - 1 and 3 i of those
        nn.GlobalPool("avg", 1),
    ]
    found = rf.fields(eqx.nn.Sequential(layers), (40, 1))
    assert [(f.size, f.stride, f.offset) for f in found] == [
        ((3,), (1,), (-1,)),
        ((4,), (2,), (-1,)),
        ((12,), (2,), (-1,)),
        ((14,), (6,), (-3,)),
    ]
    assert [f.centre for f in found] == [(0.0,), (0.5,), (4.5,), (3.5,)]
    assert found[-1].interval((2,)) == ((9, 22),)
    support = rf.depends_on(chain, layers[:-1], rf.spikes((40, 1)), (2,))
    assert rf.bounding_box(support) == ((9, 22),)
    assert rf.measured_field(chain, layers[:-1], (40, 1), (2,))[1:] == found[-1][1:]
    # Neighbouring outputs of the dilated kernel fill each other's holes.
    assert support[9:23].all()


def test_spikes_find_what_one_input_does_not():
    layers = [nn.MaxPool2d(2), conv(2, 3)]
    support = rf.depends_on(chain, layers, rf.spikes((8, 6, 1)), (1, 1))
    assert rf.bounding_box(support) == ((0, 5), (0, 5)) and support.sum() == 36
    one = rf.depends_on(chain, layers, jr.normal(jr.key(0), (1, 8, 6, 1)), (1, 1))
    assert one.sum() == 9
    with pytest.raises(ValueError, match=r"^support: "):
        rf.bounding_box(np.zeros(3, bool))


def test_effective_field_of_one_convolution():
    """The squared weights, channels added; with random signs, exactly so for one output channel."""
    layer = conv(1, 3)
    layer = eqx.tree_at(lambda m: m.weight, layer, jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1))
    field = rf.effective_field(chain, [layer], jnp.ones((4, 7, 1)), (3,), jr.key(1))
    np.testing.assert_allclose(field, np.array([0, 0, 1, 4, 9, 0, 0]) / 14, rtol=1e-6)
    mean = (4 + 18) / 14
    assert rf.width(field) == pytest.approx(np.sqrt((4 + 36) / 14 - mean**2))


def test_width():
    assert rf.width(np.ones((5, 5))) == pytest.approx(np.sqrt((25 - 1) / 12))
    assert rf.width(np.eye(1, 9)) == 0
    # A box of 3, twice convolved with itself.
    twice = np.convolve(np.convolve(np.ones(3), np.ones(3)), np.ones(3))
    assert rf.expected_width(3, 3) == pytest.approx(rf.width(twice))
