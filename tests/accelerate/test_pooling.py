"""Max-pooling of others' models: XLA's numbers, also where several entries are the largest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab.accelerate import accelerated, pooling

ZERO = (0, 0)


def pool(x, window, stride, padding, operation=lax.max):
    start = -jnp.inf if operation is lax.max else 0.0
    return lax.reduce_window(x, start, operation, window, stride, padding)


@pytest.mark.parametrize(
    ("operation", "shape", "window", "stride", "padding"),
    [
        # Channels last, first, with three and one axes that windows go along.
        (lax.max, (2, 7, 8, 16), (1, 3, 2, 1), (1, 2, 2, 1), (ZERO, (1, 1), ZERO, ZERO)),
        (lax.add, (2, 7, 8, 16), (1, 3, 2, 1), (1, 2, 2, 1), (ZERO, (1, 1), ZERO, ZERO)),
        (lax.max, (2, 16, 7, 8), (1, 1, 3, 3), (1, 1, 2, 1), (ZERO, ZERO, (1, 1), (0, 2))),
        (lax.add, (2, 16, 7, 8), (1, 1, 3, 3), (1, 1, 2, 1), (ZERO, ZERO, (1, 1), (0, 2))),
        (lax.max, (2, 3, 4, 3, 17), (1, 2, 2, 2, 1), (1, 2, 1, 2, 1), (ZERO, (1, 0), *[ZERO] * 3)),
        (lax.max, (2, 3, 6, 16), (1, 1, 3, 1), (1, 1, 1, 1), (ZERO, ZERO, (1, 1), ZERO)),
        (lax.add, (2, 16, 5), (1, 1, 2), (1, 1, 1), (ZERO, ZERO, (1, 1))),
    ],
)
def test_values_and_gradients_are_xlas(operation, shape, window, stride, padding):
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.integers(-2, 3, shape), jnp.float32)  # few values, so many ties
    of = lambda x: pool(x, window, stride, padding, operation)
    dy = jnp.asarray(rng.integers(-8, 9, jax.eval_shape(of, x).shape), jnp.float32)

    def run(x, dy):
        y, transpose = jax.vjp(of, x)
        return y, *transpose(dy)

    def both(x, dy):  # with more axes of examples, of which the new one is not the first
        return run(x, dy), jax.vmap(run, (1, 0))(jnp.stack([x, -x], 1), jnp.stack([dy, 2 * dy]))

    expected = jax.jit(both)(x, dy)
    with accelerated():
        assert "reduce_window" not in jax.jit(both).lower(x, dy).as_text()
        got = jax.jit(both)(x, dy)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_a_nan_stays_one():
    x = jnp.zeros((1, 4, 4, 16)).at[0, 1, 2, 0].set(jnp.nan)
    run = jax.jit(lambda x: pool(x, (1, 2, 2, 1), (1, 2, 2, 1), [ZERO] * 4))
    with accelerated():
        np.testing.assert_array_equal(jnp.isnan(run(x))[0, :, :, 0], [[False, True], [False] * 2])


@pytest.mark.parametrize(
    ("shape", "dtype", "window", "padding", "dilation", "says"),
    [
        ((1, 6, 6, 2), "float32", (1, 2, 2, 1), [ZERO] * 4, (1, 2, 1, 1), "dilated"),
        ((1, 6, 6, 2), "int32", (1, 2, 2, 1), [ZERO] * 4, (1,) * 4, "none of int32"),
        ((1, 600, 16), "float32", (1, 300, 1), [ZERO] * 3, (1,) * 3, "over 300 entries"),
        ((1, 6, 16), "float32", (1, 2, 1), [ZERO, (2, 0), ZERO], (1,) * 3, "padding alone"),
        ((1, 6, 15), "float32", (1, 2, 1), [ZERO] * 3, (1,) * 3, "fewer than 16 channels"),
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
