"""Measurements of `weight_tying`: gradients of a convolution and of its copies, in float64."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from cnnlab import ops
from cnnlab.analysis import tying
from cnnlab.ops import Problem, describe

# `(y, target) -> loss`, with a target of y's shape.
LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "linear": lambda y, t: (y * t).sum(),
    "squared error": lambda y, t: ((y - t) ** 2).mean(),
    "log-cosh": lambda y, t: jnp.logaddexp(y - t, t - y).sum(),
    "cross-entropy": lambda y, t: optax.softmax_cross_entropy(y, jax.nn.softmax(t)).mean(),
    "of ReLUs": lambda y, t: ((jax.nn.relu(y) - t) ** 2).sum(),
    "largest": lambda y, t: y.max() + t.sum(),
}
# Elementwise, so that equal gradients of equal copies make equal updates.
OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": functools.partial(optax.sgd, momentum=0.9),
    "adam": optax.adam,
}
_LARGEST = {1: (24, 5, 3), 2: (9, 3, 2), 3: (5, 3, 2)}


def draw(rng: np.random.Generator) -> Problem:
    """A convolution of one group with at least two output positions, which reads some input."""
    while True:
        rank = int(rng.integers(1, 4))
        size, kernel, step = _LARGEST[rank]
        some = lambda most, rank=rank: tuple(int(n) for n in rng.integers(1, most + 1, rank))
        batch, c_in, c_out = (int(n) for n in rng.integers(1, 4, 3))
        pads = tuple((int(low), int(high)) for low, high in rng.integers(0, 3, (rank, 2)))
        padding = [pads, "SAME", "VALID"][int(rng.integers(3))]
        geometry = {"stride": some(step), "dilation": some(step), "padding": padding}
        try:
            problem = describe(
                (batch, *some(size), c_in), (*some(kernel), c_in, c_out), **geometry, dtype=float
            )
        except ValueError:
            continue
        if np.prod(problem.out) > 1 and all(_reads(problem, axis) for axis in range(rank)):
            return problem


def _reads(p: Problem, axis: int) -> bool:
    """Whether some window reads more than padding along an axis."""
    starts = np.arange(p.out[axis])[:, None] * p.stride[axis] - p.padding[axis][0]
    reads = starts + np.arange(p.kernel_size[axis]) * p.dilation[axis]
    return bool(((reads >= 0) & (reads < p.spatial[axis])).any())


def _layers(p: Problem) -> tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]:
    """`(x, weights) -> y`, shared and local."""
    geometry = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation}
    return (
        lambda x, kernel: ops.conv(x, kernel, algorithm="lax", **geometry),
        lambda x, weights: ops.local_conv(x, weights, window=p.kernel_size, **geometry),
    )


def _arrays(p: Problem, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Input, kernel and target: normal numbers, in float64."""
    normal = lambda shape: jnp.asarray(rng.standard_normal(shape), jnp.float64)
    return normal(p.x_shape), normal(p.kernel_shape), normal(p.y_shape)


def gradients(rng: np.random.Generator) -> dict[str, Any]:
    """For each loss, the largest difference between the kernel's gradient and the sum, or the mean,
    of those of its copies, relative to the largest entry of the kernel's."""
    with jax.enable_x64(True):
        problem = draw(rng)
        rank = problem.rank
        x, kernel, target = _arrays(problem, rng)
        shared, local = _layers(problem)

        @jax.jit
        def both(x: Array, kernel: Array, target: Array) -> dict[str, tuple[Array, Array]]:
            weights = tying.copies(kernel, problem.out)
            return {
                name: (
                    jax.grad(lambda k, loss=loss: loss(shared(x, k), target))(kernel),
                    jax.grad(lambda w, loss=loss: loss(local(x, w), target))(weights),
                )
                for name, loss in LOSSES.items()
            }

        found = {}
        positions = int(np.prod(problem.out))
        for name, (own, each) in both(x, kernel, target).items():
            own = np.asarray(own).reshape(each.shape[rank:])
            total = np.asarray(tying.pooled(each, rank))
            found[name] = {"sum": _relative(total, own), "mean": _relative(total / positions, own)}
        return {"layer": str(problem), "positions": positions, "losses": found}


def _relative(got: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest expected entry, or alone where all of those are 0."""
    return float(np.abs(got - expected).max() / (np.abs(expected).max() or 1.0))


def training(rng: np.random.Generator, optimizer: str, steps: int, lr: float) -> dict[str, Any]:
    """A convolution and two locally connected layers that begin as its copies, trained on the same
    squared error; one is updated with the pooled gradient, one with each copy's own.

    By step: how far apart the copies of a weight are, relative to the kernel's largest weight; and
    how far the pooled ones are from the convolution's kernel.
    """
    with jax.enable_x64(True):
        problem = draw(rng)
        rank = problem.rank
        x, kernel, target = _arrays(problem, rng)
        shared, local = _layers(problem)
        rule = OPTIMIZERS[optimizer](lr)
        loss = LOSSES["squared error"]
        scale = float(jnp.abs(kernel).max())

        def updated(layer: Callable, weights: Array, state: Any, tied: bool) -> tuple[Array, Any]:
            gradient = jax.grad(lambda w: loss(layer(x, w), target))(weights)
            gradient = tying.tie(gradient, rank) if tied else gradient
            update, state = rule.update(gradient, state, weights)
            return optax.apply_updates(weights, update), state

        @jax.jit
        def step(states: Any) -> Any:
            conv, pooled, own = states
            return (
                updated(shared, *conv, False),
                updated(local, *pooled, True),
                updated(local, *own, False),
            )

        weights = tying.copies(kernel, problem.out)
        states = tuple((w, rule.init(w)) for w in (kernel, weights, weights))
        found: dict[str, list[float]] = {"pooled": [], "own": [], "from_conv": []}
        for _ in range(steps):
            states = step(states)
            (kernel, _), (pooled, _), (own, _) = states
            found["pooled"].append(tying.spread(pooled, rank) / scale)
            found["own"].append(tying.spread(own, rank) / scale)
            apart = jnp.abs(pooled - tying.copies(kernel, problem.out)).max()
            found["from_conv"].append(float(apart) / scale)
        return {"layer": str(problem), "optimizer": optimizer, **found}


def picture(seed: int) -> dict[str, Any]:
    """One weight of a 3x3 layer on a 12x12 image: the gradient of each copy, and their sum."""
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.standard_normal((1, 12, 12, 1)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 1, 1)), jnp.float32)
    loss = lambda y: (jax.nn.relu(y) ** 2).mean()
    local = lambda w: loss(ops.local_conv(x, w, window=(3, 3)))
    each = jax.grad(local)(tying.copies(kernel, (12, 12)))
    shared = jax.grad(lambda k: loss(ops.conv(x, k, algorithm="lax")))(kernel)
    return {
        "copies": np.asarray(each[..., 4, 0]).tolist(),
        "sums": np.asarray(tying.pooled(each, 2)).reshape(3, 3).tolist(),
        "shared": np.asarray(shared).reshape(3, 3).tolist(),
    }
