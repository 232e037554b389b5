"""Layers position by position: what their memories give is what the layers give of all at once."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab import nn
from cnnlab.nn.filters import EMA, S4D, Explicit, Hyena
from cnnlab.nn.memory import Recurrence, Tiles


@eqx.filter_jit
def _stream(layer, memory, x, first):
    """The first positions at once, the others one after another."""
    carry, start = memory.start(layer, x[..., :first, :])
    later = jnp.moveaxis(x[..., first:, :], -2, 0)
    _, ys = lax.scan(lambda carry, x: memory.step(carry, x), carry, later)
    return jnp.concatenate([start, jnp.moveaxis(ys, 0, -2)], -2)


def _exact(layer, x):
    """The sum over the past, in float64."""
    kernel = np.asarray(layer.filter.kernel(x.shape[-2]), np.float64)
    x = np.asarray(x, np.float64)
    rows = [(kernel[: i + 1][::-1] * x[..., : i + 1, :]).sum(-2) for i in range(x.shape[-2])]
    return np.stack(rows, -2) + np.asarray(layer.skip, np.float64) * x


LONG = {
    "hyena": (functools.partial(Hyena, span=90), Tiles),
    "explicit": (functools.partial(Explicit, max_length=70), Tiles),
    "s4d": (functools.partial(S4D, modes=4), Recurrence),
    "ema": (functools.partial(EMA, modes=4), Recurrence),
}


@pytest.mark.parametrize("first", [1, 37])
@pytest.mark.parametrize("name", LONG)
def test_long_convolutions_are_their_sums(name, first, normal, getkey):
    filter, kind = LONG[name]
    layer = nn.LongConv1d(3, filter=filter, key=getkey())
    memory, x = layer.memory(203), normal(2, 203, 3)
    assert isinstance(memory, kind)
    expected = _exact(layer, x)
    scale = np.abs(expected).max()
    for found in (_stream(layer, memory, x, first), layer(x)):
        np.testing.assert_allclose(found / scale, expected / scale, atol=2e-6)


def test_a_mean_of_many_positions_is_exact():
    # Added one by one in float32, a mean of so many is wrong by 1e-5.
    x = np.random.default_rng(0).uniform(0, 1, (200_000, 1)).astype(np.float32)
    layer = nn.GlobalPool("avg", 1)
    found = _stream(layer, layer.memory(len(x)), jnp.asarray(x), 1)[:, 0]
    expected = np.cumsum(x[:, 0], dtype=np.float64) / np.arange(1, len(x) + 1)
    np.testing.assert_allclose(found, expected, rtol=3e-7)
    with pytest.raises(ValueError, match=r"^num_spatial_dims: expected 1, .* got 2"):
        nn.GlobalPool("max").memory(8)


def test_states_that_are_kept_long_do_not_drift(normal, getkey):
    # A step of 1 / 1000 of a state's time: exp(log_a) itself, rounded, is wrong by 1e-4 after that.
    layer = nn.LongConv1d(2, filter=functools.partial(S4D, step=(0.0005, 0.001)), key=getkey())
    x = normal(3000, 2)
    expected = _exact(layer, x)
    found = _stream(layer, layer.memory(3000), x, 300)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=3e-6)


def test_past_the_length_there_is_nothing(normal, getkey):
    layer = nn.LongConv1d(3, filter=LONG["hyena"][0], key=getkey())
    x = normal(70, 3)
    found = _stream(layer, layer.memory(40), x, 8)
    np.testing.assert_allclose(found[:40], layer(x[:40]), atol=1e-5)
    assert np.isnan(found[40:]).all()


@pytest.mark.parametrize(
    "options", [{"dilation": 3}, {"groups": 2, "flip": True}, {"kernel_size": 1, "padding": "SAME"}]
)
def test_windows_keep_what_they_reach(options, normal, make):
    options = {"kernel_size": 4, "padding": "CAUSAL", **options}
    layer, x = make(nn.Conv1d, 4, 6, **options), normal(2, 3, 17, 4)
    for first in (1, 9):
        found = _stream(layer, layer.memory(17), x, first)
        np.testing.assert_allclose(found, layer(x), atol=1e-5)


def test_half_precision_is_summed_in_float32(normal, getkey):
    layer = nn.LongConv1d(3, filter=LONG["hyena"][0], key=getkey())
    x = normal(100, 3).astype(jnp.bfloat16)
    found = _stream(layer, layer.memory(100), x, 5)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(float), _exact(layer, x), rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2}, {"padding": "CAUSAL", "padding_mode": "replicate"}]
)
def test_convolutions_that_are_not_causal_are_refused(options, make):
    options = {"padding": "CAUSAL" if "stride" in options else "SAME", **options}
    with pytest.raises(ValueError, match=r'^padding: expected "CAUSAL" with zeros'):
        make(nn.Conv1d, 2, 2, 3, **options).memory(8)


def test_long_convolutions_of_the_future_are_refused(getkey):
    layer = nn.LongConv1d(2, causal=False, key=getkey())
    with pytest.raises(ValueError, match=r"^causal: expected True, got False"):
        layer.memory(8)
