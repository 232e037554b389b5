"""Multiply-adds of functions, counted by hand and by layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from cnnlab import nn
from cnnlab.analysis import cost, summary

X, K = jnp.ones((2, 9, 8, 4)), jnp.ones((3, 3, 4, 6))
FORWARD = 2 * 5 * 4 * 6 * 9 * 4  # examples, positions, channels, taps, channels


def conv(x, k):
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, k, (2, 2), "SAME", dimension_numbers=names)


def loop(times):
    return lambda x: lax.fori_loop(0, times, lambda _, x: x @ jnp.ones((4, 4)), x)


def unseen(x, k):
    like = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(lambda x: x, like, x).sum() + conv(x, k)


DENSE = jnp.ones((3, 4))
MESH = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))


@pytest.mark.parametrize(
    ("function", "inputs", "expected"),
    [
        (conv, (X, K), FORWARD),
        # Each gradient is as dear as the result, and needs no result of a convolution.
        (jax.grad(lambda x, k: conv(x, k).sum(), (0, 1)), (X, K), 2 * FORWARD),
        (jax.vmap(conv, (None, 0)), (X, jnp.stack([K, K])), 2 * FORWARD),
        (jax.jit(jax.checkpoint(conv)), (X, K), FORWARD),
        (lambda x, k: conv(x.astype(jnp.int32), k.astype(jnp.int32)), (X, K), FORWARD),
        (lambda x: x @ jnp.ones((4, 5)), (DENSE,), 3 * 4 * 5),
        (loop(7), (DENSE,), 7 * 3 * 4 * 4),
        (lambda x: lax.cond(x[0, 0] > 0, loop(2), loop(3), x), (DENSE,), 3 * 3 * 4 * 4),
        (lambda x: jnp.fft.fft(jnp.tanh(x)).real.sum() + jnp.arange(3), (DENSE,), 0),
        (
            jax.shard_map(conv, mesh=MESH, in_specs=(jax.P("d"), jax.P()), out_specs=jax.P("d")),
            (X, K),
            FORWARD,
        ),
    ],
)
def test_by_hand(function, inputs, expected):
    found = cost(function, *inputs)
    assert found.multiply_adds == expected and found.unknown == ()


def test_what_is_not_known_is_named():
    runs = lambda x: lax.while_loop(lambda x: x[0, 0] < 9, loop(2), x)
    assert str(cost(runs, DENSE)) == "96 multiply-adds, without what is in while"
    found = cost(unseen, X, K)
    assert (found.multiply_adds, found.unknown) == (FORWARD, ("pure_callback",))


def test_a_model_costs_what_its_layers_say():
    key = jax.random.key(0)
    layers = [nn.Conv2d(3, 4, 3, key=key), nn.MaxPool2d(2), nn.SeparableConv2d(4, 6, 5, key=key)]
    model = eqx.nn.Sequential([*layers, nn.GlobalPool(), nn.Linear(6, 7, key=key)])
    total = summary(model, (8, 8, 3)).multiply_adds
    x = jax.ShapeDtypeStruct((5, 8, 8, 3), jnp.float32)
    assert cost(model, x).multiply_adds == 5 * total > 0
    own = nn.Conv2d(4, 6, 3, key=key)
    foreign = eqx.nn.Conv2d(4, 6, 3, padding=1, key=key)
    assert cost(own, X).multiply_adds == 2 * cost(foreign, jnp.ones((4, 9, 8))).multiply_adds
