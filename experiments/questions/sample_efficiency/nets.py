"""The nets of `sample_efficiency`, and how they are trained."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import nn

NETS = {
    "conv": "convolutional",
    "local": "locally connected",
    "fc_sgd": "fully connected, SGD",
    "fc_adam": "fully connected, Adam",
}


@dataclass(frozen=True)
class Training:
    """How every net is trained, by the settings of these names."""

    batch_size: int
    epochs: int
    least_steps: int
    step: float
    momentum: float
    adam_step: float

    def steps(self, n: int) -> int:
        """`epochs` passes over n examples, and no fewer than `least_steps`; none for none."""
        passes = math.ceil(self.epochs * n / self.batch_size)
        return max(self.least_steps, passes) if n else 0


class OnSquares(eqx.Module):
    """Squares of the coordinates, a hidden layer, the sum over each of `parts` equal parts of the
    positions, and a dense layer.

    The answer to Problem 10.2.2 where the hidden layer is a convolution: squaring is hard-wired,
    all positions share a kernel, and the sum over a half is a convolution whose kernel and stride
    are d/2. With a kernel of s taps and c channels that leaves `c s + 2 c + 1` weights whatever d
    is; but for the few positions at the edge of a half, what it computes is
    `a1 S1 + a2 S2 + b` of the two sums of squares. To find three numbers to a given accuracy takes
    a number of examples that does not depend on d.
    """

    hidden: nn.Conv | nn.LocallyConnected
    readout: nn.Linear
    parts: int = eqx.field(static=True)

    def __call__(self, x: Float[Array, "b *dims"]) -> Float[Array, " b"]:
        h = self.hidden(centred_squares(x))
        h = h.reshape(len(x), self.parts, -1, h.shape[-1])
        # Over the root of their number, as the squares of different coordinates are independent.
        pooled = h.sum(2) / math.sqrt(h.shape[2])
        return self.readout(pooled.reshape(len(x), -1))[:, 0]


class OnInputs(eqx.Module):
    """A dense layer, squares, and a dense layer: `x' A x + b` with any symmetric A.

    Gaussian weights and inputs enter through products `w . x` only, so that gradient descent is
    orthogonally equivariant (Problem 10.2.1). It has the same activation as the other nets, and
    twice as many hidden units as inputs, so that it can be h* and any rotation of it (at least 32,
    as a net of 8 may end where it does not even fit the training data).
    """

    hidden: nn.Linear
    readout: nn.Linear

    def __call__(self, x: Float[Array, "b *dims"]) -> Float[Array, " b"]:
        return self.readout(centred_squares(self.hidden(x.reshape(len(x), -1))))[:, 0]


def centred_squares(x: Array) -> Array:
    """`(x^2 - 1) / sqrt(2)`: the square of a standard normal with mean 0 and variance 1."""
    return (jnp.square(x) - 1) / math.sqrt(2)


def build(
    net: str,
    shape: Sequence[int],
    *,
    hidden: int,
    channels: int,
    kernel_size: int,
    key: PRNGKeyArray,
) -> OnSquares | OnInputs:
    """A net for inputs of `shape`, `(d, 1)` or `(h, w, c)`: a fully connected one with so many
    `hidden` units, another with so many `channels` and taps."""
    *spatial, inputs = shape
    first, second = jr.split(key)
    linear = lambda n_in, n_out, key: nn.Linear(n_in, n_out, kernel_init="lecun_normal", key=key)
    if net.startswith("fc"):
        dense = nn.Linear(math.prod(shape), hidden, use_bias=False, key=first)
        return OnInputs(dense, linear(hidden, 1, second))
    # An image's classes are told by its channels, not by where in the image something is.
    parts = 2 if len(spatial) == 1 else 1
    arguments = (len(spatial), inputs, channels, kernel_size)
    options = {"use_bias": False, "kernel_init": "lecun_normal", "key": first}
    if net == "local":
        layer = nn.LocallyConnected(*arguments, spatial, **options)
    else:
        layer = nn.Conv(*arguments, algorithm="taps", **options)
    return OnSquares(layer, linear(parts * channels, 1, second), parts)


def trainer(make: Callable[[PRNGKeyArray], eqx.Module], plan: Training, *, adam: bool) -> Any:
    """`train(seed, x, y, x_test, y_test, n, steps) -> (test accuracy, training accuracy)`, all with
    a leading axis of seeds and compiled once for all sizes: a seed learns from its first n examples
    and leaves the others alone. Labels are +1 and -1.

    The same rule for all nets: minibatches in turn (the examples are in random order as they are),
    logistic loss, a step size that falls from its largest value to 0 along half a cosine. Under SGD
    (momentum is equivariant as well) that is `plan.step` over the largest eigenvalue of the first
    batch's tangent kernel, the unit in which the stability of gradient descent is measured.
    """
    descent = optax.scale_by_adam() if adam else optax.trace(plan.momentum)

    def train(seed, x, y, x_test, y_test, n, steps):
        params, static = eqx.partition(make(jr.key(seed)), eqx.is_inexact_array)
        score = lambda p, x: eqx.combine(p, static)(x)
        loss = lambda p, x, y: jax.nn.softplus(-y * score(p, x)).mean()

        def batch(i):
            where = (i * plan.batch_size + jnp.arange(plan.batch_size)) % jnp.maximum(n, 1)
            return x[where], y[where]

        first = batch(0)[0]
        rate = plan.adam_step if adam else plan.step / sharpness(lambda p: score(p, first), params)

        def step(i, carry):
            params, state = carry
            updates, state = descent.update(jax.grad(loss)(params, *batch(i)), state)
            now = rate * (1 + jnp.cos(jnp.pi * i / steps)) / 2
            return jax.tree.map(lambda p, u: p - now * u, params, updates), state

        params, _ = jax.lax.fori_loop(0, steps, step, (params, descent.init(params)))
        right = lambda x, y: jnp.mean(score(params, x) * y > 0)
        # As many training examples as there are test examples, evenly spread.
        spread = (jnp.arange(len(y_test)) * (n / len(y_test))).astype(int)
        return right(x_test, y_test), right(x[spread], y[spread])

    return jax.jit(jax.vmap(train))


def sharpness(function: Callable[[Any], Array], params: Any, iterations: int = 20) -> Array:
    """The largest eigenvalue of `J J' / n`, J the Jacobian of n outputs in the parameters: the
    power method."""
    pull = jax.vjp(function, params)[1]

    def step(_, carry):
        v = carry / jnp.linalg.norm(carry)
        return jax.jvp(function, (params,), pull(v))[1] / len(v)

    start = jr.normal(jr.key(0), jax.eval_shape(function, params).shape)
    return jnp.linalg.norm(jax.lax.fori_loop(0, iterations, step, start))
