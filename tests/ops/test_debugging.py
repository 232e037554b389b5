"""JAX's debugging settings: layers, operations and training give what they give without."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from ops_reference import normal

from cnnlab import nn, ops

SETTINGS = (
    {"jax_disable_jit": True},
    {"jax_numpy_dtype_promotion": "strict", "jax_numpy_rank_promotion": "raise"},
    {
        "jax_debug_nans": True,
        "jax_debug_infs": True,
        "jax_enable_checks": True,
        "jax_check_tracer_leaks": True,
        "jax_debug_key_reuse": True,
        "jax_log_compiles": True,
        "jax_explain_cache_misses": True,
    },
)
X, KERNEL, BIAS = normal(2, 6, 6, 4), normal(3, 3, 4, 4), normal(4)


@contextlib.contextmanager
def configured(settings):
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def of_a_layer(layer):
    return jax.value_and_grad(lambda x: jnp.sum(layer(x) ** 2))(X)


def batch_norm():
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(4)
    y, state = layer(X, state)
    return y, eqx.nn.inference_mode(layer)(X, state)[0]


def everything():
    """A value of every kind of operation and layer, compiled anew for every setting."""
    keys = iter(jr.split(jr.key(0), 8))
    fused = lambda k: ops.conv(X, k, stride=2, bias=BIAS, activation="relu").sum()
    half = lambda v: v.astype(jnp.bfloat16)
    yield ops.conv(X, KERNEL, flip=True), jax.grad(fused)(KERNEL)
    yield ops.conv(half(X), half(KERNEL), bias=half(BIAS), activation="gelu")
    yield ops.conv_transpose(X, KERNEL, stride=2), ops.fft_conv(X, KERNEL)
    yield ops.conv(X, KERNEL[:, :, :1], groups=4, algorithm="taps")
    yield ops.conv(X, KERNEL, algorithm="im2col")
    yield jax.grad(lambda x: ops.max_pool(x, (3, 3), 2, "SAME").sum())(X)
    yield ops.avg_pool(X, (3, 3), 2, "SAME"), [ops.global_pool(X, k) for k in ("avg", "max", "sum")]
    yield (
        ops.unfold(X, (3, 3)),
        ops.toeplitz_matrix(KERNEL, (6, 6, 4)),
        ops.pad(X, (1, 1), "reflect"),
    )
    yield of_a_layer(nn.LocallyConnected2d(4, 2, 3, (6, 6), key=next(keys)))
    yield of_a_layer(nn.ConvTranspose2d(4, 2, 3, key=next(keys)))
    yield of_a_layer(nn.Linear(4, 3, key=next(keys))), of_a_layer(nn.GroupNorm(4, 2))
    yield of_a_layer(nn.LayerNorm(4)), batch_norm(), nn.Dropout(0.5)(X, key=next(keys))


@pytest.fixture(scope="module")
def plain():
    return list(everything())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", SETTINGS, ids=", ".join)
def test_operations_and_layers(settings, plain):
    with configured(settings):
        values = list(everything())
    for got, expected in zip(jax.tree.leaves(values), jax.tree.leaves(plain), strict=True):
        assert got.dtype == expected.dtype
        # One operation after the other rounds in other places than a fused program.
        limit = 1e-2 if got.dtype == jnp.bfloat16 else 1e-5
        wide = (np.asarray(v, np.float32) for v in (got, expected))
        np.testing.assert_allclose(*wide, rtol=limit, atol=10 * limit)
