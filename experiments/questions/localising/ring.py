"""The task of Ingrosso and Goldt (2022) on a ring of pixels, and networks that learn it."""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

SHARP, GAUSSIAN, ROTATED = "non-Gaussian", "Gaussian", "rotated"
INPUTS = (SHARP, GAUSSIAN, ROTATED)


class Task(NamedTuple):
    """Two classes of inputs: normals of mean 0 with a covariance for each class, `erf` of them
    where they are sharp, and all of it rotated."""

    roots: Float[np.ndarray, "2 n n"]
    gain: float
    height: float
    sharp: bool
    rotation: Float[np.ndarray, "n n"]

    def draw(self, key: PRNGKeyArray, number: int) -> tuple[Array, Array]:
        """So many inputs, an even number, half of them of each class; their labels, 1 and -1."""
        noise = jr.normal(key, (2, number // 2, len(self.rotation)))
        z = (noise @ self.roots).reshape(number, -1)
        edges = jax.scipy.special.erf(self.gain * z) * self.height
        label = jnp.repeat(jnp.array([1.0, -1.0]), number // 2)
        return jnp.where(self.sharp, edges, z) @ self.rotation, label


def task(inputs: str, pixels: int, lengths: Sequence[float], gain: float, seed: int) -> Task:
    """The task of one of `INPUTS`, all of variance 1 and, but for the rotation, of one covariance:
    that of `erf(gain z)` where z's correlation at a distance d is `exp(-(d / length)^2)`."""
    distance = np.minimum(np.arange(pixels), pixels - np.arange(pixels))
    correlation = np.exp(-np.square(distance / np.array(lengths)[:, None]))
    covariance = (
        correlation if inputs != GAUSSIAN else arcsine(correlation, gain) / arcsine(1, gain)
    )
    rotation = np.eye(pixels)
    if inputs == ROTATED:
        normal = np.random.default_rng(seed).standard_normal((pixels, pixels))
        rotation = np.linalg.qr(normal)[0]
    f32 = lambda array: np.asarray(array, np.float32)
    roots = np.stack([circulant_root(row) for row in covariance])
    height = 1 / math.sqrt(arcsine(1, gain))
    return Task(f32(roots), gain, height, inputs != GAUSSIAN, f32(rotation))


def arcsine(covariance: Float[np.ndarray, "..."] | float, gain: float) -> np.ndarray:
    """The covariance of `erf(gain z)` for two z of variance 1 with this one (Williams 1998)."""
    return 2 / math.pi * np.arcsin(2 * gain**2 * np.asarray(covariance) / (1 + 2 * gain**2))


def circulant_root(row: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    """The symmetric root of the circulant matrix with this first row, a covariance."""
    root = np.fft.ifft(np.sqrt(np.fft.fft(row).real.clip(0))).real
    return np.stack([np.roll(root, i) for i in range(len(row))])


class Net(NamedTuple):
    """The mean of hidden units `tanh(w x + b)`, and an offset."""

    weight: Float[Array, "k n"]
    bias: Float[Array, " k"]
    offset: Float[Array, ""]

    def __call__(self, x: Float[Array, "b n"]) -> Float[Array, " b"]:
        return jnp.tanh(x @ self.weight.T + self.bias).mean(1) + self.offset


@functools.partial(jax.jit, static_argnames=("units", "steps", "batch_size"))
def train(
    task: Task, key: PRNGKeyArray, rate: float, *, units: int, steps: int, batch_size: int
) -> tuple[Net, Net, Array, Array]:
    """SGD on the squared error of new inputs in each step, from Gaussian weights of variance 1 / n.

    **Returns:** the network before and after; its error and its accuracy on inputs that are new.
    """
    n = len(task.rotation)
    first, second, third = jr.split(key, 3)
    start = Net(jr.normal(first, (units, n)) / math.sqrt(n), jnp.zeros(units), jnp.zeros(()))
    error = lambda net, x, y: jnp.square(net(x) - y).mean()
    # A unit has a share of 1 / units in the mean, and as much less of a slope.
    rates = Net(*(rate * jnp.array([units, units, 1.0])))

    def step(net: Net, key: PRNGKeyArray) -> tuple[Net, None]:
        slope = jax.grad(error)(net, *task.draw(key, batch_size))
        return jax.tree.map(lambda p, s, r: p - r * s, net, slope, rates), None

    net, _ = jax.lax.scan(step, start, jr.split(second, steps))
    x, y = task.draw(third, 10_000)
    return start, net, error(net, x, y), (net(x) * y > 0).mean()
