"""The gradient of a weight that is used at every position (B 10.1.5): a convolution beside a
locally connected layer (A 2.4) whose weights are copies of its kernel, all in float64."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from cnnlab import lab, ops
from cnnlab.bench.geometries import random_problem
from cnnlab.lab import Cells, Count, Positive, Records, Verdict
from cnnlab.ops import Problem

Loss = Callable[[Array, Array], Array]  # `(y, target) -> loss`, with a target of y's shape
LOSSES: dict[str, Loss] = {
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
# In float64, with sums of at most a few thousand terms, rounding stays below this by orders of
# magnitude, and a term too many or too few is far above it.
ROUNDING = 1e-10

question = lab.Question(
    "weight_tying",
    "How is a weight updated that is used at every position?",
    note="The text says that the gradients of the copies are pooled, and leaves open how: they are "
    "added, not averaged. No code does it: it is the chain rule.",
)


@question.measure(full={"geometries": 60, "updates": 16, "steps": 60})
def measure(
    cells: Cells,
    *,
    seed: int,
    geometries: Annotated[Count, "random layers, each with all losses"] = 24,
    updates: Annotated[Count, "random layers that are trained, by each optimizer"] = 8,
    steps: Annotated[Count, "of each such training"] = 20,
    lr: Positive = 0.01,
) -> dict[str, Any]:
    """Gradients of random layers under several losses; short trainings."""
    draw = lambda *key: np.random.default_rng([seed, *key])
    compared = lambda layer: gradients(draw(0, layer))
    trained = lambda optimizer, layer: training(draw(1, layer), OPTIMIZERS[optimizer](lr), steps)
    axes = {"optimizer": OPTIMIZERS, "layer": range(updates)}
    with jax.enable_x64(True):
        return {
            "gradients": cells.records("gradients", compared, layer=range(geometries)),
            "trainings": cells.records("training", trained, **axes),
            "picture": picture(seed),
        }


def copies(
    kernel: Float[Array, "*window c c_out"], out: Sequence[int]
) -> Float[Array, "*out patch c_out"]:
    """The kernel at every position of an output of spatial shape `out`: the weights of the locally
    connected layer that is the convolution."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return jnp.broadcast_to(matrix, (*out, *matrix.shape))


def total(gradient: Float[Array, "*out patch c_out"]) -> Float[Array, "patch c_out"]:
    """The sum over all positions of the gradients of the copies: the chain rule for a parameter
    that is used many times."""
    return gradient.sum(tuple(range(gradient.ndim - 2)))


def spread(weights: Float[Array, "*out patch c_out"]) -> Float[Array, ""]:
    """By how much copies of a weight differ, at most: 0 where all are tied."""
    flat = weights.reshape(-1, math.prod(weights.shape[-2:]))
    return (flat.max(0) - flat.min(0)).max()


class Pair:
    """A random convolution of one group and its locally connected twin, with normal numbers for
    input, kernel and target, in float64."""

    def __init__(self, rng: np.random.Generator) -> None:
        while not _telling(p := random_problem("lax", rng)):
            pass
        normal = lambda shape: jnp.asarray(rng.standard_normal(shape))
        self.problem, self.window = p, p.window.arguments
        self.x, self.kernel, self.target = map(normal, (p.x_shape, p.kernel_shape, p.y_shape))

    def shared(self, kernel: Array) -> Array:
        """The convolution's output."""
        return ops.conv(self.x, kernel, algorithm="lax", **self.window)

    def local(self, weights: Array) -> Array:
        """The twin's."""
        return ops.local_conv(self.x, weights, window=self.problem.kernel_size, **self.window)

    def copies(self, kernel: Array) -> Array:
        """The twin's weights."""
        return copies(kernel, self.problem.out)


def _telling(p: Problem) -> bool:
    """Whether there are copies, not all of which read nothing but padding."""
    read = lambda: ops.unfold(jnp.ones(p.x_shape), p.kernel_size, **p.window.arguments)
    return p.groups == 1 < math.prod(p.out) and bool(read().any())


def gradients(rng: np.random.Generator) -> list[dict[str, Any]]:
    """For each loss, the largest difference between the kernel's gradient and the sum, or the mean,
    of those of its copies, relative to the largest entry of the kernel's."""
    pair = Pair(rng)

    @functools.partial(jax.jit, static_argnums=0)
    def both(loss: Loss, kernel: Array, target: Array) -> tuple[Array, Array]:
        of = lambda layer, weights: jax.grad(lambda w: loss(layer(w), target))(weights)
        return of(pair.shared, kernel), of(pair.local, pair.copies(kernel))

    found = []
    for name, loss in LOSSES.items():
        own, each = both(loss, pair.kernel, pair.target)
        each, scale = each.reshape(-1, own.size), abs(own).max() or 1.0  # a row a copy
        pooled = {"sum": each.sum(0), "mean": each.mean(0)}
        errors = {how: float(abs(g - own.ravel()).max() / scale) for how, g in pooled.items()}
        found.append({"convolution": str(pair.problem), "loss": name, **errors})
    return found


def training(
    rng: np.random.Generator, optimizer: optax.GradientTransformation, steps: int
) -> dict[str, Any]:
    """A convolution and two locally connected layers that begin as its copies, trained on the same
    squared error; one is updated with the pooled gradient, one with each copy's own.

    By step: how far apart the copies of a weight are, relative to the kernel's largest weight; and
    how far the pooled ones are from the convolution's kernel.
    """
    pair = Pair(rng)

    def loss(weights: dict[str, Array]) -> Array:
        """Of all: in its gradient each layer has its own."""
        layers = {"conv": pair.shared, "pooled": pair.local, "own": pair.local}
        outputs = (layer(weights[name]) for name, layer in layers.items())
        return sum(LOSSES["squared error"](y, pair.target) for y in outputs)

    def step(state: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], dict[str, Array]]:
        weights, memory = state
        gradient = jax.grad(loss)(weights)
        gradient["pooled"] = jnp.broadcast_to(total(gradient["pooled"]), weights["pooled"].shape)
        update, memory = optimizer.update(gradient, memory, weights)
        weights = optax.apply_updates(weights, update)
        apart = {name: spread(weights[name]) for name in ("pooled", "own")}
        apart["from_conv"] = abs(weights["pooled"] - pair.copies(weights["conv"])).max()
        return (weights, memory), apart

    twin = pair.copies(pair.kernel)
    begin = {"conv": pair.kernel, "pooled": twin, "own": twin}
    _, apart = jax.lax.scan(step, (begin, optimizer.init(begin)), length=steps)
    scale = abs(pair.kernel).max()
    curves = {name: (values / scale).tolist() for name, values in apart.items()}
    return {"convolution": str(pair.problem), **curves}


def picture(seed: int) -> dict[str, Any]:
    """One weight of a 3x3 layer on a 12x12 image: the gradient of each copy, and their sum."""
    rng, shapes = np.random.default_rng(seed), ((1, 12, 12, 1), (3, 3, 1, 1))
    x, kernel = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)
    loss = lambda y: (jax.nn.relu(y) ** 2).mean()
    each = jax.grad(lambda w: loss(ops.local_conv(x, w, window=(3, 3))))(copies(kernel, (12, 12)))
    shared = jax.grad(lambda k: loss(ops.conv(x, k, algorithm="lax")))(kernel)
    found = {"copies": each[..., 4, 0], "sums": total(each).ravel(), "shared": shared.ravel()}
    return {name: values.tolist() for name, values in found.items()}


@question.answer
def answer(gradients: Records, trainings: Records) -> str:
    apart = np.min(trainings["own"], 0)[-1]
    return (
        f"By the sum of the gradients of its copies (to {np.max(gradients['sum']):.0e}), not their "
        f"mean; updated each by its own, copies come apart by {100 * apart:.2g} % of the largest "
        "weight or more."
    )


@question.claim(
    "B 10.1.5", "a layer and a loss for which they differ by more than rounding (1e-10, in float64)"
)
def pooled(gradients: Records) -> Verdict:
    """Gradient values from all copies of a shared parameter are pooled to get the update: the
    kernel's gradient is the sum over positions of the locally connected layer's."""
    what = f"largest relative difference ({len(gradients)} pairs)"
    return lab.at_most(np.max(gradients["sum"]), ROUNDING, what)


@question.claim(
    "B 10.1.5",
    "a layer and a loss for which the mean is not the kernel's gradient",
    instead="pooled",
)
def mean(gradients: Records) -> Verdict:
    """The gradient values from all copies are pooled, read as their mean (the text does not say
    which): it is the gradient of the kernel."""
    what = f"largest relative difference ({len(gradients)} pairs)"
    return lab.at_most(np.max(gradients["mean"]), ROUNDING, what)


@question.claim(
    "B 10.1.5",
    "copies of a weight that come apart, or leave the trained kernel, by more than rounding",
)
def stays_tied(trainings: Records) -> Verdict:
    """With the pooled gradient as every copy's, a locally connected layer that begins as a
    convolution stays one, and the same one as when the kernel itself is trained."""
    largest = lambda name, what: lab.at_most(np.max(trainings[name]), ROUNDING, what)
    return lab.all_of(
        largest("pooled", f"copies apart ({len(trainings)} trainings)"),
        largest("from_conv", "copies from the convolution's kernel"),
    )


@question.claim(
    "B 10.1.5", "a layer whose copies are still equal, to rounding, after such a training"
)
def required(trainings: Records) -> Verdict:
    """The modification is required: with each copy's own gradient they do not stay tied."""
    what = f"copies apart at the end, the least of {len(trainings)} trainings"
    return lab.at_least(np.min(trainings["own"], 0)[-1], ROUNDING, what)


@question.table
def by_loss(gradients: Records) -> Iterator[dict[str, Any]]:
    """The kernel's gradient against its copies', largest relative difference"""
    for loss, found in gradients.by("loss").items():
        largest = {how: f"{max(found[how]):.1e}" for how in ("sum", "mean")}
        yield {"loss": loss, "layers": len(found), **largest}


@question.table
def by_optimizer(trainings: Records) -> Iterator[dict[str, Any]]:
    """After training, relative to the largest weight"""
    for optimizer, runs in trainings.by("optimizer").items():
        own = lab.estimate([curve[-1] for curve in runs["own"]])
        yield {
            "optimizer": optimizer,
            "pooled: copies apart": f"{np.max(runs['pooled']):.1e}",
            "pooled: from the convolution": f"{np.max(runs['from_conv']):.1e}",
            "own: copies apart, mean": f"{own.mean:.3f}",
            "deviation": f"{own.deviation:.3f}",
            "n": own.n,
        }


@question.figure(11, 3.4)
def tying(figure: Figure, picture: dict[str, Any], trainings: Records) -> None:
    """Left: the gradient of one weight's copy at each position. Middle: for each weight of the
    kernel, the sum over its copies is the convolution's gradient. Right: how far copies come apart
    that are updated each by its own gradient."""
    copies, sums, apart = figure.subplots(1, 3)
    title = "gradient of the middle weight's copies"
    image = lab.picture(copies, picture["copies"], title=title, cmap="RdBu_r", norm=CenteredNorm())
    copies.set(xlabel="position (column)", ylabel="position (row)")
    figure.colorbar(image, ax=copies)
    taps = range(len(picture["sums"]))
    sums.bar(taps, picture["sums"], color="tab:blue", alpha=0.5, label="sum over the copies")
    sums.plot(taps, picture["shared"], "k_", markersize=14, label="the convolution's")
    sums.axhline(0, color="grey", linewidth=0.8)
    sums.set(title="gradient of the kernel", xlabel="weight, row by row", ylabel="gradient")
    sums.legend()
    sgd = trainings.where(optimizer="sgd")
    steps = range(1, len(sgd[0]["own"]) + 1)
    each = apart.plot(steps, np.transpose(sgd["own"]), color="tab:red", alpha=0.6)
    pooled = apart.plot(steps, np.transpose(sgd["pooled"]), color="tab:blue")
    apart.legend([each[0], pooled[0]], ["each its own", "pooled"], title="gradient")
    apart.set(title="copies of a weight, SGD", xlabel="step")
    apart.set(ylabel="apart, relative to the largest weight")


main = lab.command(question)

if __name__ == "__main__":
    main()
