"""Bias and activation in the convolution's call: values, derivatives and batching as if apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from primitive_cases import compiled, tolerance

from cnnlab import ops
from cnnlab.ops import REFERENCE, REGISTRY
from cnnlab.ops.native import ENGINE

# Those that apply them themselves, where they are to be had, and two that leave them to XLA.
SERVING = ops.algorithms((1, 6, 5, 8), (3, 3, 8, 8))
APPLYING = [name for name in SERVING if REGISTRY[name].fused is not None]
NAMES = [REFERENCE, next(n for n in SERVING if REGISTRY[n].domain.kernel_size == 3), *APPLYING]
ACTIVATIONS = {None: lambda y: y, "relu": lambda y: jnp.maximum(y, 0), "gelu": jax.nn.gelu}


def normal(seed, *shape):
    return jax.device_put(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


X, KERNEL, BIAS, DY = normal(0, 3, 6, 5, 8), normal(1, 3, 3, 8, 8) / 8, normal(2, 8), normal(3, 8)


def together(name, activation):
    return lambda x, k, b: ops.conv(x, k, bias=b, activation=activation, algorithm=name)


def apart(activation):
    f = ACTIVATIONS[activation]
    options = {"padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    direct = lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), **options)
    return lambda x, k, b: f(direct(x, k) + b)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives(name, activation):
    point = X, KERNEL, BIAS

    def everything(call):
        loss = lambda *v: jnp.sum(jnp.sin(call(*v)) * DY)
        gradient = jax.grad(loss, (0, 1, 2))
        return {
            "value": call(*point),
            "gradient": gradient(*point),
            "of the bias alone": jax.grad(loss, 2)(*point),
            "jvp": jax.jvp(call, point, point)[1],
            "hessian times vector": jax.jvp(gradient, point, point)[1],
            "of a checkpoint": jax.grad(jax.checkpoint(loss), 1)(*point),
        }

    calls = together(name, activation), apart(activation)
    ours, theirs = compiled(lambda: [everything(call) for call in calls])()
    for label, expected in theirs.items():
        for a, b in zip(jax.tree.leaves(ours[label]), jax.tree.leaves(expected), strict=True):
            scale = float(jnp.abs(b).max())
            assert scale > 0.1
            limit = tolerance(name)["rtol"]
            np.testing.assert_allclose(a / scale, b / scale, atol=limit, rtol=0, err_msg=label)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("channels", [24, 32])
def test_depthwise_with_many_taps(channels, activation, dtype):
    """In float32 by XLA, of the same rounded arguments."""
    values = normal(0, 2, 9, 7, channels), normal(1, 7, 7, 1, channels) / 7, normal(2, channels)
    values = [v.astype(dtype) for v in values]
    run = lambda *v, **options: ops.conv(
        *v[:2], bias=v[2], groups=channels, activation=activation, **options
    )
    got = compiled(run)(*values).astype(jnp.float32)
    expected = compiled(lambda *v: run(*v, algorithm=REFERENCE))(*(v.astype(float) for v in values))
    limit = 1e-2 if dtype == jnp.bfloat16 else 1e-5
    np.testing.assert_allclose(got, expected, atol=3 * limit, rtol=limit)


@pytest.mark.parametrize(
    ("x", "kernel"), [((1, 6, 6, 32), (3, 3, 32, 32)), ((1, 9, 9, 16), (7, 7, 1, 16))]
)
def test_what_is_not_a_number_passes_a_relu_of_our_own(x, kernel):
    groups = x[-1] // kernel[2]
    names = [n for n in ops.algorithms(x, kernel, groups=groups) if n in APPLYING]
    if not names:
        pytest.skip(f"no native engine: {ENGINE.refusal()}")
    values = normal(0, *x).at[0, 2, 3].set(jnp.nan), normal(1, *kernel), normal(2, kernel[-1])
    for name in names:
        y = ops.conv(*values[:2], bias=values[2], groups=groups, activation="relu", algorithm=name)
        assert np.isnan(y[0, 2, 3]).all() and np.isfinite(y[0, -1, -1]).all()


@pytest.mark.parametrize("axes", [(0, None, None), (None, None, 0), (1, 0, 0), (0, 3, None)])
@pytest.mark.parametrize("name", NAMES)
def test_vmap(name, axes):
    values = [
        v if axis is None else jnp.stack([v, v + 1], axis)
        for v, axis in zip((X, KERNEL, BIAS), axes, strict=True)
    ]
    calls = together(name, "relu"), apart("relu")
    got, expected = (compiled(jax.vmap(call, axes))(*values) for call in calls)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=3e-4)


@pytest.mark.parametrize("name", NAMES)
def test_types_and_empty_batches(name):
    x, kernel, bias = (v.astype(jnp.bfloat16) for v in (X, KERNEL, BIAS))
    y = together(name, "relu")(x, kernel, bias)
    expected = apart("relu")(*(v.astype(jnp.float32) for v in (x, kernel, bias)))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=0.02, atol=0.05)
    assert together(name, "relu")(X[:0], KERNEL, BIAS).shape == (0, 6, 5, 8)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bias": BIAS[:3]}, r"bias: expected shape \(8,\), got \(3,\)"),
        ({"activation": "tanh"}, "activation: expected None, 'relu' or 'gelu', got 'tanh'"),
    ],
)
def test_bad_arguments(options, says):
    with pytest.raises(ValueError, match=says):
        ops.conv(X, KERNEL, **options)
