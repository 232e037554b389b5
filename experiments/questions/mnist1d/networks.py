"""The four networks of the MNIST-1D paper and their training, all steps in one compiled program.

Networks, start and training are those of the published code (`notebooks/models.py` and
`notebooks/train.py` of greydanus/mnist1d): PyTorch's uniform start, Adam at rate 1e-2, batches of
100 taken in the data's own order, no weight decay.
"""

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import nn
from cnnlab.data import Dataset

RATE, BATCH = 1e-2, 100


class MLP(eqx.Module):
    """Two hidden layers of 100, the second around a skip connection: 15,210 parameters."""

    layers: list[nn.Linear]

    def __init__(self, length: int, classes: int, *, key: PRNGKeyArray):
        keys = jr.split(key, 3)
        sizes = ((length, 100), (100, 100), (100, classes))
        self.layers = [nn.Linear(*size, key=k) for size, k in zip(sizes, keys, strict=True)]

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b k"]:
        first, second, last = self.layers
        h = jax.nn.relu(first(x))
        h = h + jax.nn.relu(second(h))
        return last(h)


class CNN(eqx.Module):
    """Three convolutions of 25 channels, widths 5, 3, 3, stride 2, then flattened: 5,210."""

    layers: list[nn.Conv1d]
    linear: nn.Linear

    def __init__(self, length: int, classes: int, *, key: PRNGKeyArray):
        *keys, last = jr.split(key, 4)
        shapes = ((1, 25, 5), (25, 25, 3), (25, 25, 3))
        self.layers = [
            nn.Conv1d(*shape, stride=2, padding=[(1, 1)], algorithm="taps", key=k)
            for shape, k in zip(shapes, keys, strict=True)
        ]
        for width in (5, 3, 3):
            length = (length + 2 - width) // 2 + 1  # B eq. 10.7
        self.linear = nn.Linear(25 * length, classes, key=last)

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b k"]:
        h = x[..., None]
        for layer in self.layers:
            h = layer(h, activation="relu")
        # Channel by channel, as PyTorch flattens.
        return self.linear(jnp.swapaxes(h, -1, -2).reshape(len(x), -1))


class GRU(eqx.Module):
    """A GRU of 6 units in either direction, its outputs at all times flattened: 5,110.

    24 fewer than PyTorch's, which has two biases where only their sum matters.
    """

    cells: eqx.nn.GRUCell
    linear: nn.Linear

    def __init__(self, length: int, classes: int, *, key: PRNGKeyArray, units: int = 6):
        cells, last = jr.split(key)
        make = eqx.filter_vmap(lambda k: eqx.nn.GRUCell(1, units, key=k))
        self.cells = make(jr.split(cells))
        self.linear = nn.Linear(2 * units * length, classes, key=last)

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, "b k"]:
        both = jnp.moveaxis(jnp.stack([x, x[:, ::-1]]), -1, 0)  # time, direction, example
        one = lambda cell, h, now: cell(now[None], h)
        # Examples last: the products are of matrices, and not of many vectors.
        examples = eqx.filter_vmap(one, in_axes=(None, -1, 0), out_axes=-1)

        def step(h: Array, now: Array) -> tuple[Array, Array]:
            h = eqx.filter_vmap(examples)(self.cells, h, now)
            return h, h

        start = jnp.zeros((2, self.cells.hidden_size, len(x)))
        _, h = jax.lax.scan(step, start, both)  # time, direction, unit, example
        features = jnp.concatenate([h[:, 0], h[::-1, 1]], axis=1)
        return self.linear(features.reshape(-1, len(x)).T)


# The first is softmax regression: 410 parameters for 40 numbers and 10 classes.
NETS: dict[str, Callable[..., Any]] = {"linear": nn.Linear, "mlp": MLP, "cnn": CNN, "gru": GRU}
Net = str | Callable[..., Any]  # one of these, or what makes another of linear layers and Conv1d


def start(net: Net, length: int, classes: int, key: PRNGKeyArray) -> Float[Array, " n"]:
    """All parameters of a network that starts as PyTorch's do: weights and biases uniform in
    `+-1 / sqrt(fan_in)`, of a recurrent layer in `+-1 / sqrt(units)`."""
    limits = flat(net, length, classes)[1]
    return limits * jr.uniform(key, limits.shape, minval=-1.0, maxval=1.0)


@functools.cache
def flat(net: Net, length: int, classes: int) -> tuple[Callable[[Array], Any], Array]:
    """How to make a network of a vector of all its parameters, and how large each may start."""
    make = NETS[net] if isinstance(net, str) else net
    template = make(length, classes, key=jr.key(0))
    is_layer = lambda v: isinstance(v, nn.Linear | nn.Conv1d | eqx.nn.GRUCell)

    def limits(layer: Any) -> Any:
        gru = isinstance(layer, eqx.nn.GRUCell)
        fan_in = layer.hidden_size if gru else math.prod(layer.weight.shape[:-1])
        return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 1 / math.sqrt(fan_in)), layer)

    vector, _ = ravel_pytree(jax.tree.map(limits, template, is_leaf=is_layer))
    return ravel_pytree(template)[1], vector


def accuracies(
    net: Net, data: Sequence[Dataset], seeds: range, *, steps: int, every: int
) -> list[list[list[float]]]:
    """Train a network once a seed on each of several data sets of one shape: compiled once, side
    by side in threads, as one alone keeps one core busy.

    **Returns:** the share of the test examples that is right after each `every` steps,
    `(data sets, seeds, steps // every)`.
    """
    arrays = [_arrays(one) for one in data]
    length, classes = arrays[0][0].shape[-1], data[0].num_classes
    starts = jnp.stack([start(net, length, classes, jr.key(seed)) for seed in seeds])
    run = _train.lower(net, classes, steps // every, every, starts, *arrays[0]).compile()
    with ThreadPoolExecutor(len(data)) as pool:
        curves = pool.map(lambda of: np.asarray(run(starts, *of)), arrays)
        return [found.astype(float).tolist() for found in curves]


def _arrays(data: Dataset) -> tuple[Array, Array, Array, Array]:
    """Batches `(n, 100, length)` and their labels, test examples and theirs."""
    train, test = data.train.in_memory(), data.test.in_memory()
    x, x_test = (jnp.asarray(v.image)[..., 0] for v in (train, test))
    y, y_test = (jnp.asarray(v.label) for v in (train, test))
    n = len(x) // BATCH
    x, y = x[: n * BATCH].reshape(n, BATCH, -1), y[: n * BATCH].reshape(n, BATCH)
    return x, y, x_test, y_test


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _train(net: Net, classes: int, rounds: int, every: int, starts, x, y, x_test, y_test):
    # Accuracies `(seeds, rounds)`. All parameters are one vector: on the CPU, an update of each
    # array on its own would take longer than the network.
    unflatten, _ = flat(net, x.shape[-1], classes)
    rule = optax.adam(RATE)

    def loss(vector: Array, inputs: Array, labels: Array) -> Array:
        logits = unflatten(vector)(inputs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(carry: Any, i: Array) -> tuple[Any, None]:
        vector, state = carry
        gradient = jax.grad(loss)(vector, x[i % len(x)], y[i % len(x)])
        updates, state = rule.update(gradient, state)
        return (vector + updates, state), None

    def round_(carry: Any, r: Array) -> tuple[Any, Array]:
        carry, _ = jax.lax.scan(step, carry, r * every + jnp.arange(every))
        right = unflatten(carry[0])(x_test).argmax(-1) == y_test
        return carry, right.mean()

    one_seed = lambda v: jax.lax.scan(round_, (v, rule.init(v)), jnp.arange(rounds))[1]
    # The small products of a GRU's steps cost the same for many seeds as for one.
    return jax.vmap(one_seed)(starts) if net == "gru" else jax.lax.map(one_seed, starts)
