"""Networks trained on data and on the rotated data (B 10.2): the same function, rotated?"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array
from scipy.special import logsumexp

from cnnlab import nn
from cnnlab.analysis.activations import first_layer
from cnnlab.analysis.rotations import nearest_convolution, random_orthogonal, rotate, rotated_dense
from cnnlab.data import Dataset
from cnnlab.data.augment import normalise
from cnnlab.models import MLP, VGG, Classifier, LinearHead
from cnnlab.nn import factories
from cnnlab.train import optim

# One algorithm from each family, at rates at which both networks learn. `schedule -> optimizer`.
_plain = functools.partial(optim.sgd, momentum=0.0, nesterov=False, weight_decay=0.0)
RULES: dict[str, Callable[..., optax.GradientTransformation]] = {
    "gradient descent": functools.partial(_plain, lr=0.1),
    "SGD": functools.partial(_plain, lr=0.1),
    "momentum": functools.partial(optim.sgd, lr=0.05, momentum=0.9, weight_decay=0.0),
    "weight decay": functools.partial(_plain, lr=0.1, weight_decay=0.01),
    "Muon": functools.partial(optim.muon, lr=0.02, weight_decay=0.01),
    "Adam": functools.partial(optim.adam, lr=3e-3),
}
DENSE, CONVOLUTIONAL = "fully connected", "convolutional"
EQUIVARIANT = ("gradient descent", "SGD", "momentum", "weight decay")
# From rotated starts. Name: kind of network, algorithm, start on the rotated data.
TRAININGS = {
    **{rule: (DENSE, rule, "rotated") for rule in (*EQUIVARIANT, "Muon", "Adam")},
    "SGD, same start": (DENSE, "SGD", "same"),
    "convolution, nearest start": (CONVOLUTIONAL, "SGD", "nearest"),
    "convolution, same start": (CONVOLUTIONAL, "SGD", "same"),
}
# From random starts. Name: kind of network, algorithm.
DENSE_ARM, CONVOLUTIONAL_ARM = "fully connected, SGD", "convolutional, momentum"
ARMS = {DENSE_ARM: (DENSE, "SGD"), CONVOLUTIONAL_ARM: (CONVOLUTIONAL, "momentum")}
# A sum of n products has a relative rounding error of about n eps at worst: 256 examples times 400
# steps times 1.1e-16 is 1e-11. Ten times that, for layers after one another.
ROUNDING = 1e-10
Model = tuple[eqx.Module, eqx.nn.State]


class Task(NamedTuple):
    """Normalised inputs `(n, *spatial, c)` and one-hot targets `(n, k)`, float32."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    @classmethod
    def of(cls, data: Dataset, train_size: int, test_size: int) -> "Task":
        """At most so many examples of a data set."""
        found = []
        for split, limit in ((data.train, train_size), (data.test, test_size)):
            image, label = split.take(np.arange(min(limit, len(split))))
            found += [np.asarray(normalise(image, data.mean, data.std))]
            found += [np.eye(data.num_classes, dtype=np.float32)[label]]
        return cls(*found)

    @property
    def size(self) -> int:
        """Values of one input."""
        return int(np.prod(self.x.shape[1:]))

    def rotated(self, r: np.ndarray) -> "Task":
        """With `R x` in place of every input, in float64."""
        return self._replace(x=rotate(self.x, r), test_x=rotate(self.test_x, r))

    def astype(self, dtype: Any) -> "Task":
        return Task(*(v.astype(dtype) for v in self))


class Training(NamedTuple):
    """Sizes of the networks, and how long they learn."""

    widths: tuple[int, ...]
    plan: tuple[int | str, ...]
    kernel_size: int
    steps: int
    batch_size: int

    def batches(self, rule: str, n: int, seed: Sequence[int]) -> np.ndarray:
        """Which examples each step sees: all of them, or some drawn with replacement."""
        if rule == "gradient descent":
            return np.tile(np.arange(n), (self.steps, 1))
        return np.random.default_rng(seed).integers(0, n, (self.steps, self.batch_size))


def build(kind: str, how: Training, task: Task, key: Array) -> Model:
    """A network with Gaussian weights."""
    return _maker(kind, how, task.x.shape[1:], task.y.shape[1])(key)


@functools.cache
def _maker(
    kind: str, how: Training, shape: tuple[int, ...], classes: int
) -> Callable[[Array], Model]:
    """Compiled once for all starts."""
    # im2col: of the algorithms, the fastest inside a compiled loop on the CPU.
    options = {"conv": functools.partial(factories.dense, algorithm="im2col"), "pool": "stride"}
    options |= {"kernel_size": how.kernel_size}

    def make(key: Array) -> Classifier:
        key, head_key = jr.split(key)
        if kind == DENSE:
            backbone = MLP(shape, list(how.widths), key=key)
        else:
            backbone = VGG(shape, list(how.plan), key=key, **options)
        return Classifier(backbone, LinearHead(backbone.out_shape, classes, key=head_key))

    return eqx.filter_jit(eqx.nn.make_with_state(make))


def first_weight(model: Any) -> Array:
    """Of the layer that sees the input."""
    return first_layer(model).weight


@eqx.filter_jit
def predict(model: Any, state: eqx.nn.State, x: Array) -> Array:
    """Class scores."""
    return model(x, state)[0]


def loss(model: Any, state: eqx.nn.State, x: Array, y: Array) -> Array:
    """Mean cross-entropy of a batch."""
    return optax.softmax_cross_entropy(predict(model, state, x), y).mean()


gradient = eqx.filter_jit(eqx.filter_grad(loss))


@functools.cache
def learner(rule: str) -> Callable[..., Any]:
    """`(model, state, x, y, order) -> model`: a step for each row of `order`, indices `(b,)`."""
    optimizer = RULES[rule](lambda step: 1.0)

    @eqx.filter_jit
    def learn(model: Any, state: eqx.nn.State, x: Array, y: Array, order: Array) -> Any:
        params, static = eqx.partition(model, eqx.is_inexact_array)

        def step(carry: Any, batch: Array) -> tuple[Any, None]:
            params, memory = carry
            descent = gradient(eqx.combine(params, static), state, x[batch], y[batch])
            updates, memory = optimizer.update(descent, memory, params)
            return (optax.apply_updates(params, updates), memory), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), order)
        return eqx.combine(params, static)

    return learn


def relative(a: Array, b: Array) -> float:
    """`||a - b|| / ||b||`, in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def rotated_start(model: Any, r: np.ndarray, start: str, shape: Sequence[int]) -> tuple[Any, float]:
    """The start for the rotated data: the `same`, or the one whose first layer does to `R x` what
    it did to `x`, as nearly as its kind of layer can; and the share that it can't do."""
    layer = first_layer(model)
    if isinstance(layer, nn.Conv):
        new, missing = nearest_convolution(layer.weight, r, shape, stride=layer.stride)
    else:
        new, missing = rotated_dense(layer.weight, r), 0.0
    return (model if start == "same" else eqx.tree_at(first_weight, model, new)), missing


def compare(training: str, how: Training, task: Task, seed: int) -> list[dict[str, Any]]:
    """Train on the data and, from its start, on the rotated data; for a rotation and a reflection,
    how far `f_R(R x)` is from `f(x)` on the test inputs, in both precisions.

    Returns for each the relative difference of the scores by precision, the share of equal
    decisions (in float32), and what of the first layer the start can't rotate.
    """
    kind, rule, start = TRAININGS[training]
    found = []
    with jax.enable_x64(True):
        model, state = build(kind, how, task, jr.key(seed))
        order = jnp.asarray(how.batches(rule, len(task.x), [seed, 1]))
        for determinant in (1, -1):
            rng = np.random.default_rng([seed, 2, determinant + 1])
            r = random_orthogonal(rng, 1, task.size, determinant=determinant)[0]
            moved, missing = rotated_start(model, r, start, task.x.shape[1:])
            turned = task.rotated(r)
            row = {"determinant": determinant, "missing": missing}
            for dtype in ("float64", "float32"):
                before = test_scores(model, state, rule, task.astype(dtype), order)
                after = test_scores(moved, state, rule, turned.astype(dtype), order)
                row[dtype] = relative(after, before)
            row["equal"] = float((after.argmax(1) == before.argmax(1)).mean())
            found.append(row)
    return found


def test_scores(model: Any, state: eqx.nn.State, rule: str, task: Task, order: Array) -> np.ndarray:
    """Of the test inputs after training, computed in the task's precision."""
    dtype = task.x.dtype
    model = jax.tree.map(lambda v: v.astype(dtype) if eqx.is_inexact_array(v) else v, model)
    learned = learner(rule)(model, state, jnp.asarray(task.x), jnp.asarray(task.y), order)
    return np.asarray(predict(learned, state, jnp.asarray(task.test_x)))


def gradient_error(how: Training, task: Task, seed: int) -> dict[str, float]:
    """The gradient of a dense network at the rotated start on rotated data: its first layer's
    against the rotated gradient, and all others against the same ones; relative, in float64."""
    with jax.enable_x64(True):
        model, state = build(DENSE, how, task, jr.key(seed))
        rng = np.random.default_rng([seed, 3])
        r = random_orthogonal(rng, 1, task.size)[0]
        moved, _ = rotated_start(model, r, "rotated", task.x.shape[1:])
        fine = lambda task: map(jnp.asarray, task.astype("float64")[:2])
        one = gradient(model, state, *fine(task))
        other = gradient(moved, state, *fine(task.rotated(r)))
        expected = eqx.tree_at(first_weight, one, rotated_dense(first_weight(one), r))
        pairs = zip(jax.tree.leaves(other), jax.tree.leaves(expected), strict=True)
        return {"largest": max(relative(a, b) for a, b in pairs)}


def random_starts(
    arm: str, how: Training, task: Task, seed: int, stream: int, *, starts: int, inputs: int
) -> list[dict[str, Any]]:
    """Networks trained on a task from random starts, with batches drawn at random: of each, its
    test accuracy and loss, and its margins (score of the true class less the best other) at the
    first test inputs. Another `stream` draws other starts and batches."""
    kind, rule = ARMS[arm]
    task = task.astype("float32")
    root = jr.fold_in(jr.key(seed), stream)
    found = []
    for i in range(starts):
        model, state = build(kind, how, task, jr.fold_in(root, i))
        order = jnp.asarray(how.batches(rule, len(task.x), [seed, 4, stream, i]))
        scores = test_scores(model, state, rule, task, order)
        true = scores[task.test_y > 0]
        other = np.where(task.test_y > 0, -np.inf, scores).max(1)
        found.append({
            "start": i, "accuracy": float((true > other).mean()),
            "loss": float((logsumexp(scores, axis=1) - true).mean()),
            "margins": (true - other)[:inputs].astype(float).tolist(),
        })  # fmt: skip
    return found
