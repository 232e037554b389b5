"""Convolutions over quarter turns and reflections against their sum, and what it is for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn, ops

KEY = jax.random.key(0)


def matrices(group):
    """What an element does to an offset (down, right): r quarter turns, after a reflection."""
    turn, mirror = np.array([[0, -1], [1, 0]]), np.diag([1, -1])
    power = np.linalg.matrix_power
    return [power(turn, e % 4) @ power(mirror, e // 4) for e in range(nn.GROUPS[group])]


def the_sum(layer, x):
    """Cohen and Welling's eq. 10 and 11: `y(u, s) = sum_v sum_t f(v, t) psi(s^-1 (v - u), s^-1 t)`,
    one position and orientation at a time."""
    elements, k = matrices(layer.group), layer.kernel_size[0]
    index = lambda m: next(i for i, e in enumerate(elements) if (e == m).all())
    weight = np.asarray(layer.weight, np.float64).reshape(k, k, -1, *layer.weight.shape[-1:])
    orientations = [0] if layer.lifting else range(len(elements))
    psi = weight.reshape(k, k, len(orientations), layer.in_channels, layer.out_channels)
    half = (k - 1) // 2
    f = np.asarray(x, np.float64)[:, None] if layer.lifting else np.asarray(x, np.float64)
    _, _, h, w, _ = f.shape
    y = np.zeros((len(f), len(elements), h, w, layer.out_channels))
    for s, i, j, t in itertools.product(range(len(elements)), range(h), range(w), orientations):
        back = elements[s].T  # of an orthogonal matrix the inverse
        part = 0 if layer.lifting else index(back @ elements[t])
        for v in itertools.product(range(max(i - half, 0), min(i + half + 1, h)),
                                   range(max(j - half, 0), min(j + half + 1, w))):  # fmt: skip
            a, b = back @ (np.array(v) - (i, j)) + half
            y[:, s, i, j] += f[:, t, v[0], v[1]] @ psi[a, b, part]
    return y + np.asarray(layer.bias)


@pytest.mark.parametrize("group", nn.GROUPS)
def test_it_is_the_sum_of_the_paper_and_equivariant(group, make, normal, run):
    lift = make(nn.GroupConv2d, 2, 3, 3, group=group, lifting=True)
    layer = make(nn.GroupConv2d, 3, 2, 3, group=group)
    x = normal(2, 4, 5, 2)
    features = run(lift, x)
    np.testing.assert_allclose(features, the_sum(lift, x), rtol=1e-4, atol=1e-4)
    y = run(layer, features)
    np.testing.assert_allclose(y, the_sum(layer, features), rtol=1e-4, atol=1e-4)
    for element in (1, nn.GROUPS[group] - 1):
        moved = run(layer, run(lift, nn.turned(x, element)))
        expected = nn.turned_features(y, element)
        np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-4)
        pooled = moved.mean((1, 2, 3))
        np.testing.assert_allclose(pooled, y.mean((1, 2, 3)), rtol=1e-4, atol=1e-4)


def test_what_it_says_of_itself():
    lift = nn.GroupConv2d(4, 6, 2, "VALID", group="p4m", lifting=True, kernel_init="zeros", key=KEY)
    layer = nn.GroupConv2d(6, 5, 3, use_bias=False, group="p4m", kernel_init="zeros", key=KEY)
    assert lift.output_shape((9, 7, 4)) == (8, 8, 6, 6)
    assert layer.output_shape((8, 8, 6, 6)) == (8, 8, 6, 5)
    assert (lift.weight.shape, layer.weight.shape) == ((2, 2, 4, 6), (3, 3, 48, 5))
    assert lift.multiply_adds((9, 7, 4)) == 8 * 8 * 6 * 4 * 4 * 6
    plain = ops.describe((8, 6, 48), (3, 3, 48, 40))
    assert layer.multiply_adds((8, 8, 6, 6)) == plain.multiply_adds
    assert len(layer.algorithms((2, 8, 8, 6, 6))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, r"^kernel_size: expected an odd int with padding 'SAME', got 4$"),
        ({"padding": "CAUSAL"}, r"^padding: expected one of SAME, VALID, got 'CAUSAL'"),
        ({"group": "p6"}, r"^group: expected one of p4, p4m, got 'p6'"),
        ({"in_channels": 0}, r"^in_channels: expected an int > 0, got 0$"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    given = {"in_channels": 2, "out_channels": 2, "kernel_size": 3, **options}
    with pytest.raises(ValueError, match=message):
        nn.GroupConv2d(**given, kernel_init="zeros", key=KEY)


def test_features_of_another_group_are_refused():
    layer = nn.GroupConv2d(2, 2, 3, group="p4m", kernel_init="zeros", key=KEY)
    with pytest.raises(ValueError, match=r"^x: expected shape \(\*batch, 8, h, w, 2\) for p4m"):
        layer(jnp.ones((4, 5, 5, 2)))
