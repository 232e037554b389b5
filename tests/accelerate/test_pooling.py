"""Max-pooling of others' models: XLA's numbers, also where several entries are the largest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab.accelerate import accelerated, pooling

ZERO = (0, 0)


def largest(x, window, stride, padding, **dilation):
    return lax.reduce_window(x, -jnp.inf, lax.max, window, stride, padding, **dilation)


@pytest.mark.parametrize(
    ("shape", "window", "stride", "padding"),
    [
        ((2, 7, 8, 3), (1, 3, 2, 1), (1, 2, 2, 1), (ZERO, (1, 1), ZERO, ZERO)),  # channels last
        ((2, 3, 7, 8), (1, 1, 3, 3), (1, 1, 2, 1), (ZERO, ZERO, (1, 1), (0, 2))),  # first
        ((2, 9, 4), (1, 3, 1), (1, 3, 1), (ZERO, ZERO, ZERO)),
        ((5, 9, 4), (1, 3, 1), (1, 1, 1), (ZERO, (2, 2), ZERO)),
        ((2, 5, 6, 4, 3), (1, 2, 2, 2, 1), (1, 2, 1, 2, 1), (ZERO, (1, 0), ZERO, ZERO, ZERO)),
        ((2, 5, 6, 3), (1, 1, 3, 1), (1, 1, 1, 1), (ZERO, ZERO, (1, 1), ZERO)),  # along one axis
        ((2, 6, 3), (1, 1, 2), (1, 1, 1), (ZERO, ZERO, ZERO)),  # the last one
    ],
)
def test_values_and_gradients_are_xlas(shape, window, stride, padding):
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.integers(-2, 3, shape), jnp.float32)  # few values, so many ties
    like = jax.eval_shape(lambda x: largest(x, window, stride, padding), x)
    dy = jnp.asarray(rng.integers(-8, 9, like.shape), jnp.float32)

    def run(x, dy):
        y, transpose = jax.vjp(lambda x: largest(x, window, stride, padding), x)
        return y, *transpose(dy)

    batched = jax.vmap(run, in_axes=(1, 0))  # more axes of examples, not the first ones
    more = jnp.stack([x, -x], 1), jnp.stack([dy, 2 * dy])
    expected = jax.jit(run)(x, dy), jax.jit(batched)(*more)
    with accelerated():
        text = jax.jit(run).lower(x, dy).as_text()
        got = jax.jit(run)(x, dy), jax.jit(batched)(*more)
    assert "cnnlab_max_pool_gradient" in text and "reduce_window" not in text
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_a_nan_stays_one():
    x = jnp.zeros((1, 4, 4, 2)).at[0, 1, 2, 0].set(jnp.nan)
    run = jax.jit(lambda x: largest(x, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"))
    with accelerated():
        np.testing.assert_array_equal(jnp.isnan(run(x))[0, :, :, 0], [[False, True], [False] * 2])


@pytest.mark.parametrize(
    ("shape", "dtype", "window", "padding", "dilation", "says"),
    [
        ((1, 6, 6, 2), "float32", (1, 2, 2, 1), [ZERO] * 4, (1, 2, 1, 1), "dilated"),
        ((1, 6, 6, 2), "int32", (1, 2, 2, 1), [ZERO] * 4, (1,) * 4, "no 2x2 windows"),
        ((1, 600, 2), "float32", (1, 300, 1), [ZERO] * 3, (1,) * 3, "no 300 windows"),
        ((1, 6, 2), "float32", (1, 2, 1), [ZERO, (2, 0), ZERO], (1,) * 3, "padding alone"),
        ((1, 6, 2), "float32", (1, 2, 1), [ZERO, (0, -2), ZERO], (1,) * 3, "cropped"),
        ((6, 6), "float32", (2, 2), [ZERO] * 2, (1,) * 2, "beside channels"),
        ((2, 3, 3, 3, 3, 2), "float32", (1, 2, 2, 2, 2, 1), [ZERO] * 6, (1,) * 6, "one to three"),
        ((0, 3, 2), "float32", (1, 2, 1), [ZERO] * 3, (1,) * 3, "0"),
    ],
)
def test_what_is_left_to_xla_and_why(shape, dtype, window, padding, dilation, says):
    service = pooling.serve_max(
        jax.core.ShapedArray(shape, jnp.dtype(dtype)),
        window_dimensions=window,
        window_strides=(1,) * len(window),
        padding=tuple(padding),
        base_dilation=(1,) * len(window),
        window_dilation=dilation,
    )
    assert service.compute is None and says in service.line
    assert service.line.startswith("XLA's own: maximum over windows of ")
