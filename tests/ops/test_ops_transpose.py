"""The transpose of the convolution: its shape, its batch, its gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from ops_reference import normal

from cnnlab import ops


def test_transpose_default_shape_and_leading_axes():
    y, kernel = normal(2, 3, 4, 5, 6, seed=16), normal(3, 3, 2, 6, seed=17)
    call = functools.partial(ops.conv_transpose, stride=2, groups=2)
    x = jax.jit(call)(y, kernel)
    assert x.shape == (2, 3, 8, 10, 4)
    np.testing.assert_allclose(call(y[1, 2], kernel), x[1, 2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(call, (0, None))(y, kernel), x, rtol=1e-5, atol=1e-5)
    valid = ops.conv_transpose(y[0, 0], kernel, stride=3, padding="VALID")
    assert valid.shape == (12, 15, 2)


def test_transpose_is_differentiable_in_its_kernel():
    y, kernel = normal(4, 3, seed=18), normal(3, 2, 3, seed=19)
    x = normal(8, 2, seed=20)
    # <conv_transpose(y, k), x> = <y, conv(x, k)>: the two have the same gradient in k.
    one = jax.grad(lambda k: jnp.vdot(ops.conv_transpose(y, k, stride=2), x))(kernel)
    other = jax.grad(lambda k: jnp.vdot(y, ops.conv(x, k, stride=2)))(kernel)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
    flipped = ops.conv_transpose(y, kernel, stride=2, flip=True)
    np.testing.assert_allclose(
        flipped, ops.conv_transpose(y, kernel[::-1], stride=2), rtol=1e-5, atol=1e-5
    )
