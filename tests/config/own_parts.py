"""A small model, a loss and examples of one's own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import ops


class Net(eqx.Module):
    """A convolution, an activation, a linear layer."""

    kernel: jax.Array
    linear: jax.Array
    act: object = eqx.field(static=True)

    def __init__(self, seed=0, *, width=2, act=jax.nn.relu, size=3):
        rng, self.act = np.random.default_rng(seed), act
        self.kernel = jnp.asarray(rng.normal(size=(size, size, 1, width)), jnp.float32)
        self.linear = jnp.asarray(rng.normal(size=(width, 3)), jnp.float32)

    def __call__(self, x):
        return self.act(ops.conv(x, self.kernel)).mean((-3, -2)) @ self.linear


def brier(logits, target):
    return jnp.square(jax.nn.softmax(logits) - target).sum(-1)


def arrays():
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (30, 4, 4, 1)).astype(np.uint8), np.arange(30) % 3
