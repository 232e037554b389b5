"""JAX's debugging settings: layers, operations and training give what they give without."""

import contextlib

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from ops_reference import normal
from primitive_cases import compiled

from cnnlab import nn, ops
from cnnlab.ops import REFERENCE, REGISTRY
from cnnlab.ops.algorithms.base import OWN_SUM

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
ARRAYS = normal(2, 6, 6, 4), normal(3, 3, 4, 4), normal(4)


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


# Of those that sum by themselves, written in JAX.
DIRECT = [
    n
    for n in ops.algorithms((2, 6, 6, 4), (3, 3, 1, 4), groups=4)
    if n != REFERENCE and REGISTRY[n].portable and REGISTRY[n].errors == OWN_SUM
]


def everything(x, kernel, bias):
    """A value of every kind of operation and layer."""
    keys = iter(jr.split(jr.key(0), 8))
    fused = lambda k: ops.conv(x, k, stride=2, bias=bias, activation="relu").sum()
    half = lambda v: v.astype(jnp.bfloat16)
    of_a_layer = lambda layer: jax.value_and_grad(lambda x: jnp.sum(layer(x) ** 2))(x)
    norm, state = eqx.nn.make_with_state(nn.BatchNorm)(4)
    normalised, state = norm(x, state)
    return [
        (ops.conv(x, kernel, flip=True), jax.grad(fused)(kernel)),
        ops.conv(half(x), half(kernel), bias=half(bias), activation="gelu"),
        (ops.conv_transpose(x, kernel, stride=2), ops.fft_conv(x, kernel)),
        ops.conv(x, kernel[:, :, :1], groups=4, algorithm=DIRECT[0]),
        ops.conv(x, kernel, algorithm=DIRECT[-1]),
        jax.grad(lambda x: ops.max_pool(x, (3, 3), 2, "SAME").sum())(x),
        ops.avg_pool(x, (3, 3), 2, "SAME"),
        [ops.global_pool(x, k) for k in ("avg", "max", "sum")],
        (ops.unfold(x, (3, 3)), ops.toeplitz_matrix(kernel, (6, 6, 4))),
        ops.pad(x, (1, 1), "reflect"),
        of_a_layer(nn.LocallyConnected2d(4, 2, 3, (6, 6), key=next(keys))),
        of_a_layer(nn.ConvTranspose2d(4, 2, 3, key=next(keys))),
        (of_a_layer(nn.Linear(4, 3, key=next(keys))), of_a_layer(nn.GroupNorm(4, 2))),
        (of_a_layer(nn.LayerNorm(4)), nn.Dropout(0.5)(x, key=next(keys))),
        (normalised, eqx.nn.inference_mode(norm)(x, state)[0]),
    ]


def run():
    """Traced anew, into one program: each operation by itself would be one of its own."""
    return compiled(lambda *arrays: everything(*arrays))(*ARRAYS)


@pytest.fixture(scope="module")
def plain():
    return run()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", SETTINGS, ids=", ".join)
def test_operations_and_layers(settings, plain):
    with configured(settings):
        values = run()
    for got, expected in zip(jax.tree.leaves(values), jax.tree.leaves(plain), strict=True):
        assert got.dtype == expected.dtype
        # One operation after the other rounds in other places than a fused program.
        limit = 1e-2 if got.dtype == jnp.bfloat16 else 1e-5
        wide = (np.asarray(v, np.float32) for v in (got, expected))
        np.testing.assert_allclose(*wide, rtol=limit, atol=10 * limit)
