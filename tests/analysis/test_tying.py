"""Copies of a kernel and their gradients, against the convolution and plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import ops
from cnnlab.analysis import tying


@pytest.mark.parametrize("rank", [1, 2])
def test_copies_make_a_convolution(rank):
    rng = np.random.default_rng(rank)
    x = jax.device_put(rng.standard_normal((2, *(6,) * rank, 2)).astype(np.float32))
    kernel = jax.device_put(rng.standard_normal((*(3,) * rank, 2, 4)).astype(np.float32))
    geometry = {"stride": 2, "padding": "SAME"}
    weights = tying.copies(kernel, (3,) * rank)
    y = ops.local_conv(x, weights, window=3, **geometry)
    np.testing.assert_allclose(y, ops.conv(x, kernel, **geometry), rtol=1e-5, atol=1e-5)
    loss = lambda y: (y**3).sum()
    own = jax.grad(lambda w: loss(ops.local_conv(x, w, window=3, **geometry)))(weights)
    shared = jax.grad(lambda k: loss(ops.conv(x, k, **geometry)))(kernel)
    total = np.zeros(own.shape[rank:])
    for position in np.ndindex(*own.shape[:rank]):
        total += np.asarray(own[position])
    np.testing.assert_allclose(tying.pooled(own, rank), total, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(total, shared.reshape(total.shape), rtol=1e-4, atol=1e-3)
    assert tying.spread(weights, rank) == 0.0 < tying.spread(own, rank)
    assert tying.spread(tying.tie(own, rank), rank) == 0.0


def test_spread_by_hand():
    weights = jnp.array([[[1.0, 5.0]], [[1.5, 2.0]], [[0.5, 4.0]]])
    assert tying.spread(weights, 1) == 3.0
