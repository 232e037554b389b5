"""The nets of `sample_efficiency`, how they are trained, and how many examples they need."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from cnnlab import nn
from cnnlab.analysis.sample_size import SizeSearch
from cnnlab.data.embedded import quadratic, quadratic_label

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Where the search over sizes begins, which decides only how long it takes; it goes up to REACH
# times that size, and down to LEAST examples.
START: dict[str, Callable[[int], int]] = {
    "conv": lambda d: 64,
    "local": lambda d: 16 * d,
    "fc_sgd": lambda d: 2 * d * d,
    "fc_adam": lambda d: 2 * d * d,
}
LEAST, REACH = 4, 8


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
    twice as many hidden units as inputs, so that it can be h* and any rotation of it.
    """

    hidden: nn.Linear
    readout: nn.Linear

    def __call__(self, x: Float[Array, "b *dims"]) -> Float[Array, " b"]:
        return self.readout(centred_squares(self.hidden(x.reshape(len(x), -1))))[:, 0]


def centred_squares(x: Array) -> Array:
    """`(x^2 - 1) / sqrt(2)`: the square of a standard normal with mean 0 and variance 1."""
    return (jnp.square(x) - 1) / math.sqrt(2)


def build(
    net: str, shape: Sequence[int], cfg: "DictConfig", *, hidden: int, key: PRNGKeyArray
) -> OnSquares | OnInputs:
    """A net for inputs of `shape`, `(d, 1)` or `(h, w, c)`; `hidden`, units of a dense one."""
    *spatial, channels = shape
    first, second = jr.split(key)
    linear = lambda n_in, n_out, key: nn.Linear(n_in, n_out, kernel_init="lecun_normal", key=key)
    if net.startswith("fc"):
        inputs = nn.Linear(math.prod(shape), hidden, use_bias=False, key=first)
        return OnInputs(inputs, linear(hidden, 1, second))
    # An image's classes are told by its channels, not by where in the image something is.
    parts = 2 if len(spatial) == 1 else 1
    arguments = (len(spatial), channels, cfg.channels, cfg.kernel_size)
    options = {"use_bias": False, "kernel_init": "lecun_normal", "key": first}
    if net == "local":
        layer = nn.LocallyConnected(*arguments, spatial, **options)
    else:
        layer = nn.Conv(*arguments, algorithm="taps", **options)
    return OnSquares(layer, linear(parts * cfg.channels, 1, second), parts)


def trainer(make: Callable[[PRNGKeyArray], eqx.Module], cfg: "DictConfig", *, adam: bool) -> Any:
    """`train(seed, x, y, x_test, y_test, n, steps) -> (test accuracy, training accuracy)`, all with
    a leading axis of seeds and compiled once for all sizes: a seed learns from its first n examples
    and leaves the others alone. Labels are +1 and -1.

    The same rule for all nets: minibatches in turn (the examples are in random order as they are),
    logistic loss, a step size that falls from its largest value to 0 along half a cosine. Under SGD
    (momentum is equivariant as well) that is `cfg.step` over the largest eigenvalue of the first
    batch's tangent kernel, the unit in which the stability of gradient descent is measured.
    """
    descent = optax.scale_by_adam() if adam else optax.trace(cfg.momentum)

    def train(seed, x, y, x_test, y_test, n, steps):
        params, static = eqx.partition(make(jr.key(seed)), eqx.is_inexact_array)
        score = lambda p, x: eqx.combine(p, static)(x)
        loss = lambda p, x, y: jax.nn.softplus(-y * score(p, x)).mean()

        def batch(i):
            where = (i * cfg.batch_size + jnp.arange(cfg.batch_size)) % jnp.maximum(n, 1)
            return x[where], y[where]

        first = batch(0)[0]
        rate = cfg.adam_step if adam else cfg.step / _sharpness(lambda p: score(p, first), params)

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


def _sharpness(function: Callable[[Any], Array], params: Any, iterations: int = 20) -> Array:
    """The largest eigenvalue of `J J' / n`, J the Jacobian of n outputs in the parameters: the
    power method."""
    pull = jax.vjp(function, params)[1]

    def step(_, carry):
        v = carry / jnp.linalg.norm(carry)
        return jax.jvp(function, (params,), pull(v))[1] / len(v)

    start = jr.normal(jr.key(0), jax.eval_shape(function, params).shape)
    return jnp.linalg.norm(jax.lax.fori_loop(0, iterations, step, start))


def sizes_needed(net: str, d: int, cfg: "DictConfig") -> list[dict[str, Any]]:
    """For each seed the smallest training set that reaches each target, and all that was tried:
    `[n, test accuracy, training accuracy]`.

    An accuracy is a mean over `cfg.repeats[net]` training sets and initial weights, as among small
    sets there are lucky ones; they share the `cfg.test_size` test examples out.
    """
    repeats, start = cfg.repeats[net], START[net](d)
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    streams = [seed * repeats + i for seed in seeds for i in range(repeats)]
    tests = math.ceil(cfg.test_size / repeats)
    options = {"train_size": REACH * start, "test_size": tests, "val_fraction": 0}
    sets = [quadratic(dimension=d, seed=stream, **options) for stream in streams]
    data = (
        *_stacked([(s.train.image, s.train.label) for s in sets]),
        *_stacked([(s.test.image, s.test.label) for s in sets]),
    )
    make = lambda key: build(net, (d, 1), cfg, hidden=2 * d, key=key)
    train = trainer(make, cfg, adam=net == "fc_adam")
    measure = _Measure(train, streams, data, cfg, repeats)
    limits = {"least": LEAST, "most": REACH * start}
    search = SizeSearch(measure, len(seeds), **limits, per_octave=cfg.per_octave)
    found = {target: search.smallest(target, start) for target in sorted(cfg.targets)}
    return [
        {
            "net": net,
            "d": d,
            "seed": seed,
            "sizes": {str(target): sizes[i] for target, sizes in found.items()},
            "tried": sorted(measure.tried[i]),
        }
        for i, seed in enumerate(seeds)
    ]


def image_accuracy(net: str, cfg: "DictConfig") -> list[dict[str, Any]]:
    """Accuracies on Gaussian images `(h, w, 3)` whose class is 1 where the first channel has a
    larger norm than the second (Li, Zhang and Arora 2021, figure 1), for each size and seed."""
    seeds = range(cfg.seed, cfg.seed + cfg.image_seeds)
    shape = (*cfg.image, 3)
    train = [_images([seed, 0], max(cfg.image_sizes), shape) for seed in seeds]
    test = [_images([seed, 1], cfg.image_test_size, shape) for seed in seeds]
    make = lambda key: build(net, shape, cfg, hidden=cfg.image_hidden, key=key)
    data = (*_stacked(train), *_stacked(test))
    measure = _Measure(trainer(make, cfg, adam=False), seeds, data, cfg)
    for n in cfg.image_sizes:
        measure([n] * len(seeds))
    return [{"net": net, "seed": seed, "tried": measure.tried[i]} for i, seed in enumerate(seeds)]


class _Measure:
    """Trains all seeds, each with a number of examples of its own, and keeps what came of it: means
    over `repeats` consecutive streams of data and weights."""

    def __init__(
        self, train: Any, streams: Sequence[int], data: tuple, cfg: "DictConfig", repeats: int = 1
    ):
        self._train, self._data, self._cfg, self._repeats = train, data, cfg, repeats
        self._streams = jnp.array(streams)
        self.tried: list[list[list[float]]] = [[] for _ in range(len(streams) // repeats)]

    def __call__(self, sizes: Sequence[int]) -> list[float]:
        each = lambda values: jnp.repeat(jnp.array(values), self._repeats)
        steps = [self._steps(n) for n in sizes]
        found = self._train(self._streams, *self._data, each(sizes), each(steps))
        # Shares of a whole number of examples: in float32, 0.95 would fall short of 0.95.
        means = np.stack([np.asarray(a, float).reshape(len(sizes), -1).mean(1) for a in found])
        for tried, n, accuracies in zip(self.tried, sizes, means.T.round(6).tolist(), strict=True):
            if n:
                tried.append([n, *accuracies])
        return means[0].round(6).tolist()

    def _steps(self, n: int) -> int:
        """`epochs` passes over n examples, and no fewer than `least_steps`; none for none."""
        passes = math.ceil(self._cfg.epochs * n / self._cfg.batch_size)
        return max(self._cfg.least_steps, passes) if n else 0


def _stacked(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Array, Array]:
    """Inputs and labels +1 and -1, with a leading axis of seeds."""
    x, label = zip(*parts, strict=True)
    return jnp.array(np.stack(x)), jnp.array(2.0 * np.stack(label) - 1)


def _images(seed: Sequence[int], n: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).standard_normal((n, *shape), np.float32)
    # The task of B 10.2, with the first two channels for halves.
    return x, quadratic_label(np.moveaxis(x[..., :2], -1, 1).reshape(n, -1))
