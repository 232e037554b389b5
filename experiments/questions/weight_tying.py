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
from matplotlib.figure import Figure

from cnnlab import lab, ops
from cnnlab.lab import Cells, Count, Positive, Records, Verdict
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
# In float64, with sums of at most a few thousand terms, rounding stays below this by orders of
# magnitude, and a term too many or too few is far above it.
ROUNDING = 1e-10

question = lab.Question(
    "weight_tying",
    "How is a weight updated that is used at every position?",
    note="The text says that the gradients of the copies are pooled, and leaves open how: they are "
    "added, not averaged. No code does it: it is the chain rule.",
)


@question.measure(full={"geometries": 500, "updates": 60, "steps": 200})
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
    return {
        "gradients": cells.records("gradients", compared, layer=range(geometries)),
        "trainings": cells.records("training", trained, optimizer=OPTIMIZERS, layer=range(updates)),
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


def spread(weights: Float[Array, "*out patch c_out"]) -> float:
    """By how much copies of a weight differ, at most: 0 where all are tied."""
    flat = weights.reshape(-1, math.prod(weights.shape[-2:]))
    return float((flat.max(0) - flat.min(0)).max())


def random_layer(rng: np.random.Generator) -> Problem:
    """A convolution of one group with at least two output positions, which reads some input."""
    largest = {1: (24, 5, 3), 2: (9, 3, 2), 3: (5, 3, 2)}  # by rank: sides, kernels, steps
    while True:
        rank = int(rng.integers(1, 4))
        size, kernel, step = largest[rank]
        some = lambda most, rank=rank: tuple(int(n) for n in rng.integers(1, most + 1, rank))
        batch, c_in, c_out = (int(n) for n in rng.integers(1, 4, 3))
        pads = tuple((int(low), int(high)) for low, high in rng.integers(0, 3, (rank, 2)))
        padding = [pads, "SAME", "VALID"][int(rng.integers(3))]
        geometry = {"stride": some(step), "dilation": some(step), "padding": padding}
        shapes = (batch, *some(size), c_in), (*some(kernel), c_in, c_out)
        try:
            problem = describe(*shapes, **geometry, dtype=float)
        except ValueError:
            continue
        if math.prod(problem.out) > 1 and all(reads(problem, axis) for axis in range(rank)):
            return problem


def reads(p: Problem, axis: int) -> bool:
    """Whether some window reads more than padding along an axis."""
    starts = np.arange(p.out[axis])[:, None] * p.stride[axis] - p.padding[axis][0]
    at = starts + np.arange(p.kernel_size[axis]) * p.dilation[axis]
    return bool(((at >= 0) & (at < p.spatial[axis])).any())


def layers(p: Problem) -> tuple[Callable[[Array, Array], Array], Callable[[Array, Array], Array]]:
    """`(x, weights) -> y`, shared and local."""
    geometry = {"stride": p.stride, "padding": p.padding, "dilation": p.dilation}
    return (
        lambda x, kernel: ops.conv(x, kernel, algorithm="lax", **geometry),
        lambda x, weights: ops.local_conv(x, weights, window=p.kernel_size, **geometry),
    )


def arrays(p: Problem, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Input, kernel and target: normal numbers, in float64."""
    normal = lambda shape: jnp.asarray(rng.standard_normal(shape), jnp.float64)
    return normal(p.x_shape), normal(p.kernel_shape), normal(p.y_shape)


def gradients(rng: np.random.Generator) -> list[dict[str, Any]]:
    """For each loss, the largest difference between the kernel's gradient and the sum, or the mean,
    of those of its copies, relative to the largest entry of the kernel's."""
    with jax.enable_x64(True):
        problem = random_layer(rng)
        x, kernel, target = arrays(problem, rng)
        shared, local = layers(problem)

        @jax.jit
        def both(x: Array, kernel: Array, target: Array) -> dict[str, tuple[Array, Array]]:
            weights = copies(kernel, problem.out)
            return {
                name: (
                    jax.grad(lambda k, loss=loss: loss(shared(x, k), target))(kernel),
                    jax.grad(lambda w, loss=loss: loss(local(x, w), target))(weights),
                )
                for name, loss in LOSSES.items()
            }

        def compared(own: Array, each: Array) -> dict[str, float]:
            kernels, pooled = np.asarray(own).reshape(each.shape[-2:]), np.asarray(total(each))
            scale = np.abs(kernels).max() or 1.0
            error = lambda found: float(np.abs(found - kernels).max() / scale)
            return {"sum": error(pooled), "mean": error(pooled / math.prod(problem.out))}

        found = both(x, kernel, target)
        layer = {"convolution": str(problem)}
        return [{**layer, "loss": name, **compared(*pair)} for name, pair in found.items()]


def training(
    rng: np.random.Generator, optimizer: optax.GradientTransformation, steps: int
) -> dict[str, Any]:
    """A convolution and two locally connected layers that begin as its copies, trained on the same
    squared error; one is updated with the pooled gradient, one with each copy's own.

    By step: how far apart the copies of a weight are, relative to the kernel's largest weight; and
    how far the pooled ones are from the convolution's kernel.
    """
    with jax.enable_x64(True):
        problem = random_layer(rng)
        x, kernel, target = arrays(problem, rng)
        shared, local = layers(problem)
        loss = LOSSES["squared error"]
        scale = float(jnp.abs(kernel).max())

        def updated(layer: Callable, weights: Array, state: Any, tied: bool) -> tuple[Array, Any]:
            gradient = jax.grad(lambda w: loss(layer(x, w), target))(weights)
            gradient = jnp.broadcast_to(total(gradient), gradient.shape) if tied else gradient
            update, state = optimizer.update(gradient, state, weights)
            return optax.apply_updates(weights, update), state

        @jax.jit
        def step(conv: Any, pooled: Any, own: Any) -> Any:
            return (
                updated(shared, *conv, False),
                updated(local, *pooled, True),
                updated(local, *own, False),
            )

        weights = copies(kernel, problem.out)
        states = [(w, optimizer.init(w)) for w in (kernel, weights, weights)]
        found: dict[str, list[float]] = {"pooled": [], "own": [], "from_conv": []}
        for _ in range(steps):
            states = step(*states)
            kernel, pooled, own = (weights for weights, _ in states)
            apart = jnp.abs(pooled - copies(kernel, problem.out)).max()
            found["pooled"].append(spread(pooled) / scale)
            found["own"].append(spread(own) / scale)
            found["from_conv"].append(float(apart) / scale)
        return {"convolution": str(problem), **found}


def picture(seed: int) -> dict[str, Any]:
    """One weight of a 3x3 layer on a 12x12 image: the gradient of each copy, and their sum."""
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.standard_normal((1, 12, 12, 1)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 1, 1)), jnp.float32)
    loss = lambda y: (jax.nn.relu(y) ** 2).mean()
    local = lambda w: loss(ops.local_conv(x, w, window=(3, 3)))
    each = jax.grad(local)(copies(kernel, (12, 12)))
    shared = jax.grad(lambda k: loss(ops.conv(x, k, algorithm="lax")))(kernel)
    rows = lambda of: np.asarray(of).ravel().tolist()
    middle = np.asarray(each[..., 4, 0]).tolist()
    return {"copies": middle, "sums": rows(total(each)), "shared": rows(shared)}


def worst(values: Sequence[float]) -> float:
    """The largest, or what is not a number."""
    return max(values, key=lambda v: math.inf if math.isnan(v) else v)


def flat(curves: Sequence[Sequence[float]]) -> list[float]:
    return [value for curve in curves for value in curve]


@question.claim(
    "B 10.1.5", "a layer and a loss for which they differ by more than rounding (1e-10, in float64)"
)
def pooled(gradients: Records) -> Verdict:
    """Gradient values from all copies of a shared parameter are pooled to get the update: the
    kernel's gradient is the sum over positions of the locally connected layer's."""
    what = f"largest relative difference ({len(gradients)} pairs)"
    return lab.at_most(worst(gradients["sum"]), ROUNDING, what)


@question.claim("B 10.1.5", "a layer and a loss for which the mean is not the kernel's gradient")
def mean(gradients: Records) -> Verdict:
    """The same, with pooling read as the mean (the text does not say which)."""
    what = f"largest relative difference ({len(gradients)} pairs)"
    return lab.at_most(worst(gradients["mean"]), ROUNDING, what)


@question.claim(
    "B 10.1.5",
    "copies of a weight that come apart, or leave the trained kernel, by more than rounding",
)
def stays_tied(trainings: Records) -> Verdict:
    """With the pooled gradient as every copy's, a locally connected layer that begins as a
    convolution stays one, and the same one as when the kernel itself is trained."""
    largest = lambda name, what: lab.at_most(worst(flat(trainings[name])), ROUNDING, what)
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
    return lab.at_least(min(curve[-1] for curve in trainings["own"]), ROUNDING, what)


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
            "pooled: copies apart": f"{max(flat(runs['pooled'])):.1e}",
            "pooled: from the convolution": f"{max(flat(runs['from_conv'])):.1e}",
            "own: copies apart, mean": f"{own.mean:.3f}",
            "deviation": f"{own.deviation:.3f}",
            "n": own.n,
        }


@question.figure(11, 3.4)
def tying(figure: Figure, picture: dict[str, Any], trainings: Records) -> None:
    """The gradients of one weight's copies and the kernel's; copies that come apart."""
    copies, sums, apart = figure.subplots(1, 3)
    largest = np.abs(picture["copies"]).max()
    image = copies.imshow(picture["copies"], cmap="RdBu_r", vmin=-largest, vmax=largest)
    copies.set(title="gradient of the middle weight's copies", xticks=[], yticks=[])
    copies.set(xlabel="position (column)", ylabel="position (row)")
    figure.colorbar(image, ax=copies)
    taps = range(len(picture["sums"]))
    sums.bar(taps, picture["sums"], color="tab:blue", alpha=0.5, label="sum over the copies")
    sums.plot(taps, picture["shared"], "k_", markersize=14, label="the convolution's")
    sums.axhline(0, color="grey", linewidth=0.8)
    sums.set(title="gradient of the kernel", xlabel="weight, row by row", ylabel="gradient")
    sums.legend()
    for run in trainings.where(optimizer="sgd"):
        steps = range(1, len(run["own"]) + 1)
        apart.plot(steps, run["own"], color="tab:red", alpha=0.6, label="each its own")
        apart.plot(steps, run["pooled"], color="tab:blue", label="pooled")
    handles, labels = apart.get_legend_handles_labels()
    apart.legend(handles[:2], labels[:2], title="gradient")
    apart.set(title="copies of a weight, SGD", xlabel="step")
    apart.set(ylabel="apart, relative to the largest weight")


main = lab.command(question)

if __name__ == "__main__":
    main()
