"""Convolution in the frequency domain: lengths, wrap-around, batching."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops_reference import normal

from cnnlab import ops
from cnnlab.ops.fft import fast_length


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 7), (7, 4), (5, 11), (97, 97), (64, 33)])
@pytest.mark.parametrize("padding", ["CAUSAL", "SAME", "FULL"])
def test_nothing_wraps_around(n, k, padding):
    x, kernel = normal(n, 1), normal(k, 1, 1, seed=1)
    full = np.correlate(np.pad(x[:, 0], k - 1), kernel[:, 0, 0], "valid")
    options = {"padding": k - 1 if padding == "FULL" else padding}
    y = jax.jit(lambda x, kernel: ops.fft_conv(x, kernel, **options))(x, kernel)[:, 0]
    first = {"CAUSAL": 0, "SAME": (k - 1) - (k - 1) // 2, "FULL": 0}[padding]
    np.testing.assert_allclose(y, full[first : first + len(y)], rtol=1e-4, atol=1e-4)


def test_an_impulse_at_one_end_leaves_the_other_end_alone():
    x = jnp.zeros((16, 1)).at[-1].set(1000.0)
    y = ops.fft_conv(x, jnp.ones((16, 1, 1)), padding="CAUSAL")[:, 0]
    np.testing.assert_allclose(y, [0.0] * 15 + [1000.0], atol=1e-3)


def test_all_of_a_window_in_the_padding():
    x, kernel = normal(2, 1), normal(2, 1, 1, seed=1)
    options = {"padding": ((5, 4),), "stride": 3}
    y = ops.fft_conv(x, kernel, **options)
    np.testing.assert_allclose(
        y, ops.conv(x, kernel, algorithm=ops.REFERENCE, **options), atol=1e-6
    )


def test_fast_length_is_the_next_even_product_of_small_primes():
    def smooth(m):
        for p in (2, 3, 5):
            while m % p == 0:
                m //= p
        return m == 1

    assert fast_length(1) == 1
    for n in range(2, 600):
        assert fast_length(n) == next(m for m in range(n, 2 * n + 1) if m % 2 == 0 and smooth(m))


def test_depthwise_with_multiplier_and_leading_axes():
    x, kernel = normal(2, 3, 9, 4), normal(9, 1, 8, seed=1)
    call = functools.partial(ops.fft_conv, groups=4, padding="CAUSAL")

    @jax.jit
    def run(x, kernel):
        reference = ops.conv(x, kernel, groups=4, padding="CAUSAL", algorithm=ops.REFERENCE)
        return call(x, kernel), jax.vmap(call, (0, None))(x, kernel), reference

    y, mapped, expected = run(x, kernel)
    assert y.shape == (2, 3, 9, 8)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mapped, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_transformed_in_float32(dtype):
    x, kernel = normal(33, 2).astype(dtype), normal(33, 2, 2, seed=1).astype(dtype)
    y = ops.fft_conv(x, kernel)
    wide = ops.fft_conv(x.astype(jnp.float32), kernel.astype(jnp.float32))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, wide.astype(dtype))
