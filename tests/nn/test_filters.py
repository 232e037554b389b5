"""Kernels from a few parameters, and the long convolution with them, against plain loops."""

import functools
import math
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config as checking

from cnnlab import nn
from cnnlab.analysis import receptive_field
from cnnlab.nn.filters import EMA, S4D, Explicit, Hyena, SGConv
from cnnlab.ops import REFERENCE

LENGTH = 37


@functools.partial(jax.jit, static_argnums=1)
def kernel(layer, length):
    return layer.kernel(length)


@pytest.fixture
def build(getkey):
    """`build(cls, *args, **kwargs)`: a layer or a filter, made by one program."""

    def _build(cls, *args, **kwargs):
        return eqx.filter_jit(lambda key: cls(*args, **kwargs, key=key))(getkey())

    return _build


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
@pytest.mark.parametrize("poles", ["lin", "inv", "legs", "real"])
def test_s4d_is_the_response_of_its_recurrence(poles, rule, build):
    layer = build(S4D, 3, modes=4, poles=poles, rule=rule, step=(0.01, 0.5))
    a = -np.exp(np.asarray(layer.log_decay, np.float64)) + 1j * np.asarray(layer.frequency)
    step = np.exp(np.asarray(layer.log_step, np.float64))[:, None]
    if rule == "zoh":
        after, into = np.exp(step * a), (np.exp(step * a) - 1) / a
    else:
        after, into = (1 + step * a / 2) / (1 - step * a / 2), step / (1 - step * a / 2)
    weight = np.asarray(layer.output) @ [1, 1j]
    state, expected = np.zeros_like(a), []
    for position in range(LENGTH):
        state = after * state + into * (position == 0)
        expected.append(2 * (weight * state).sum(-1).real)
    np.testing.assert_allclose(kernel(layer, LENGTH), expected, atol=1e-5)
    log_a, b, c = layer.system()
    for found, wanted in ((np.exp(log_a), after), (b, into), (c, 2 * weight)):
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)


def test_s4d_poles_are_the_papers(build):
    poles = lambda name: build(S4D, 1, modes=3, poles=name).frequency[0]
    np.testing.assert_allclose(poles("lin"), [0, math.pi, 2 * math.pi], rtol=1e-6)
    np.testing.assert_allclose(
        poles("inv"), [6 / math.pi * (6 / n - 1) for n in (1, 3, 5)], rtol=1e-6
    )
    # HiPPO's matrix, with its part of rank one added back: A + p p^T with p[n] = sqrt(n + 1/2).
    n = np.arange(6)
    hippo = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1)
    normal = hippo + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5))
    found = np.linalg.eigvals(normal)
    np.testing.assert_allclose(found.real, -0.5, atol=1e-12)
    np.testing.assert_allclose(poles("legs"), np.sort(found.imag)[3:], rtol=1e-5)


def test_explicit_is_smoothed_then_squashed(build):
    layer = build(Explicit, 2, 9, squash=0.1, smoothing=1)
    weight, found = np.asarray(layer.weight), np.asarray(kernel(layer, 12))
    for position, channel in np.ndindex(9, 2):
        near = [weight[i, channel] for i in range(position - 1, position + 2) if 0 <= i < 9]
        mean = sum(near) / 3
        expected = math.copysign(max(abs(mean) - 0.1, 0), mean)
        np.testing.assert_allclose(found[position, channel], expected, atol=1e-6)
    assert not found[9:].any() and kernel(layer, 4).shape == (4, 2)


def test_hyena_is_a_network_of_the_position_under_a_window(build):
    layer = build(Hyena, 3, 20, width=5, depth=2, bands=2, rate=2.0)
    weight = [np.asarray(w, np.float64) for w in layer.weight]
    bias, found = [np.asarray(b) for b in layer.bias], np.asarray(kernel(layer, 31))
    for position in (0, 7, 30):
        time = position / 20
        turns = [2 * math.pi * band * time for band in (1, 2)]
        h = np.array([time, *map(math.cos, turns), *map(math.sin, turns)])
        h = np.sin(2 * (h @ weight[0] + bias[0]))
        h = np.sin(2 * (h @ weight[1] + bias[1])) @ weight[2] / math.sqrt(20)
        expected = h * [0.01 ** (time / after) for after in (0.3, 0.9, 1.5)]
        np.testing.assert_allclose(found[position], expected, rtol=1e-4, atol=1e-6)


def test_ema_is_its_moving_averages(build):
    layer = build(EMA, 2, modes=3, span=(2.0, 50.0))
    sigmoid = lambda a: 1 / (1 + np.exp(-np.asarray(a, np.float64)))
    alpha, delta, beta = sigmoid(layer.alpha), sigmoid(layer.delta), np.asarray(layer.beta)
    np.testing.assert_allclose(1 / (alpha * delta), [[2, 10, 50]] * 2, rtol=1e-5)
    state, expected = np.zeros((2, 3)), []
    for position in range(LENGTH):
        state = alpha * beta * (position == 0) + (1 - alpha * delta) * state
        expected.append((np.asarray(layer.eta) * state).sum(-1) / math.sqrt(3))
    np.testing.assert_allclose(kernel(layer, LENGTH), expected, atol=1e-6)


def test_sgconv_has_as_many_weights_at_each_scale(build):
    layer = build(SGConv, 2, 20, size=4, decay=0.5)
    weight, found = np.asarray(layer.weight), np.asarray(kernel(layer, LENGTH))
    assert weight.shape == (4, 4, 2)  # of 4, 4, 8 and 16 positions
    wide = lambda row, n: np.interp((np.arange(n) + 0.5) * 4 / n - 0.5, np.arange(4), row)
    for channel in range(2):
        parts = [wide(weight[i, :, channel], n) / 2**i for i, n in enumerate((4, 4, 8, 16))]
        energy = 4 + 4 / 4 + 8 / 16 + 16 / 64
        expected = np.concatenate([*parts, np.zeros(LENGTH - 32)]) / math.sqrt(energy)
        np.testing.assert_allclose(found[:, channel], expected, atol=1e-6)


FILTERS = {
    "ema": functools.partial(EMA, modes=4),
    "sgconv": functools.partial(SGConv, span=20, size=4),
    "s4d": functools.partial(S4D, modes=4),
    "hyena": functools.partial(Hyena, span=9, width=5, bands=2),
    "explicit": functools.partial(Explicit, max_length=30),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_longer_kernel_continues_a_shorter_one(name, build):
    layer = build(FILTERS[name], 2)
    longer = np.asarray(kernel(layer, 29))
    np.testing.assert_allclose(kernel(layer, 8), longer[:8], rtol=1e-5, atol=1e-6)
    assert kernel(layer, 1).shape == (1, 2)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda f: (f.kernel(8) ** 2).sum()))(layer)
    assert all(np.isfinite(np.asarray(g)).all() for g in jax.tree.leaves(gradient))


@pytest.mark.parametrize("causal", [True, False])
def test_long_conv_is_the_sum_over_past_and_future(causal, normal, run, build):
    layer = build(nn.LongConv1d, 2, filter=FILTERS["hyena"], causal=causal)
    for length in (1, 11):
        x = normal(3, length, 2)
        past = np.asarray(kernel(layer.filter, length), np.float64)
        future = [] if causal else np.asarray(kernel(layer.future, length - 1), np.float64)
        expected = np.asarray(layer.skip, np.float64) * np.asarray(x)
        for i in range(length):
            for lag in range(i + 1):
                expected[:, i] += past[lag] * np.asarray(x)[:, i - lag]
            for lead in range(1, length - i):
                if not causal:
                    expected[:, i] += future[lead - 1] * np.asarray(x)[:, i + lead]
        np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-5)


def test_long_conv_has_the_gradients_of_the_reference(normal, build):
    layer = build(nn.LongConv1d, 8, filter=FILTERS["s4d"])
    other = build(nn.LongConv1d, 8, filter=FILTERS["s4d"], algorithm=REFERENCE)
    other = eqx.tree_at(lambda m: (m.filter, m.skip), other, (layer.filter, layer.skip))
    x = normal(2, 33, 8)
    energy = eqx.filter_jit(eqx.filter_value_and_grad(lambda m, x: (m(x) ** 2).sum()))
    (value, found), (same, expected) = energy(layer, x), energy(other, x)
    np.testing.assert_allclose(value, same, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_long_conv_is_asked_like_any_layer(build):
    layer = build(nn.LongConv1d, 4, filter=FILTERS["s4d"])
    assert isinstance(layer, nn.Convolution) and layer.window is None
    assert layer.output_shape((9, 4)) == (9, 4) and layer.multiply_adds((9, 4)) == 9 * 9 * 4
    assert len(layer.algorithms((2, 9, 4))) == 3
    assert receptive_field(layer, jnp.zeros((1, 9, 4))).size == (9,)
    x = jnp.ones((2, 3, 9, 4))
    np.testing.assert_allclose(layer(x), jax.vmap(layer)(x), rtol=1e-5, atol=1e-6)


def _own(kernel, key):
    filter = types.SimpleNamespace(kernel=kernel)
    return nn.LongConv1d(2, filter=lambda channels, key: filter, key=key)(jnp.ones((5, 2)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: S4D(2, poles="lim", key=key), r"^poles: .*'lim'.*lin"),
        (lambda key: S4D(2, rule="euler", key=key), r"^rule: .*zoh.*'euler'"),
        (lambda key: S4D(2, step=(0.1, 0.01), key=key), r"^step: expected .* got \(0.1, 0.01\)"),
        (
            lambda key: EMA(2, span=(0.5, 3), key=key),
            r"^span: .* 1 < least <= most, got",
        ),
        (lambda key: SGConv(2, 8, decay=-1, key=key), r"^decay: expected .* got -1"),
        (lambda key: Explicit(2, 0, key=key), r"^max_length: expected .* got 0"),
        (lambda key: Explicit(2, 4, squash=-1.0, key=key), r"^squash: expected .* got -1"),
        (lambda key: Hyena(2, 8, fast=2.0, key=key), r"^fast: expected .* got 2.0"),
        (lambda key: S4D(2, step="ab", key=key), r"^step: expected .* got 'ab'"),
        (lambda key: S4D(2, step=(0.1, np.inf), key=key), r"^step\[1\]: expected .* got inf"),
        (lambda key: Explicit(2, 4, squash=np.nan, key=key), r"^squash: expected .* got nan"),
        (lambda key: Explicit(2, 4, squash="x", key=key), r"^squash: expected .* got 'x'"),
        (lambda key: Explicit(2, 4, smoothing=1.5, key=key), r"^smoothing: expected .* got 1.5"),
        (lambda key: Hyena(2, 8, rate=np.inf, key=key), r"^rate: expected .* got inf"),
        (lambda key: Hyena(2, 8, slow="x", key=key), r"^slow: expected .* got 'x'"),
        (lambda key: Hyena(2, 8, fast=True, key=key), r"^fast: expected .* got True"),
        (lambda key: nn.LongConv1d(2, key=key)(jnp.ones((0, 2))), r"^x: .* 1 position"),
        (lambda key: _own(lambda n: jnp.ones((2, n)), key), r"^filter: .*\(5, 2\), got \(2, 5\)"),
        (lambda key: _own(lambda n: 1.0, key), r"^filter: .*\(5, 2\), got <class 'float'>"),
        (lambda key: nn.LongConv1d(2, filter=3, key=key), r"^filter: expected a fun.* got 3"),
        (lambda key: nn.LongConv1d(0, key=key), r"^channels: expected .* got 0"),
        (lambda key: nn.LongConv1d(2, key=key)(jnp.ones((5, 3))), r"2 channels|channels.*2"),
    ],
)
def test_refusals(make, message, getkey, monkeypatch):
    monkeypatch.setattr(checking, "jaxtyping_disable", True)  # as a user has it
    with pytest.raises((ValueError, TypeError), match=message):
        make(getkey())
