"""Networks whose receptive fields are measured, with random weights and with trained ones."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from cnnlab import nn
from cnnlab.analysis import fields as rf
from cnnlab.analysis.jacobian import jacobian_matrix
from cnnlab.data.augment import normalise
from cnnlab.lab import Count, Counts, DataSet, Study


@dataclass(frozen=True)
class Random:
    """Settings of 3x3 stacks with random weights."""

    depths: Counts = (1, 2, 4, 8, 16)
    channels: Count = 16
    inputs: Annotated[Count, "normal images that gradients are averaged over"] = 8


@dataclass(frozen=True)
class Trained:
    """Settings of stacks that are trained as classifiers."""

    dataset: DataSet = "mnist1d"
    kernel: Count = 5
    depths: Counts = (1, 2, 4, 8)
    channels: Count = 16
    steps: Count = 400
    batch_size: Count = 100
    inputs: Annotated[Count, "test examples that gradients are averaged over"] = 200


apply = lambda layers, xs: eqx.nn.Sequential(layers)(xs)


def conv(*arguments: Any, positive: np.random.Generator, **options: Any) -> list[Any]:
    """A convolution and its nonlinearity (A 4.2), with weights that cannot cancel: so what an
    output depends on has a gradient."""
    init = lambda key, shape, dtype: jnp.asarray(positive.uniform(0.5, 1.5, shape), dtype)
    layer = nn.Conv(*arguments, kernel_init=init, algorithm="lax", key=jr.key(0), **options)
    return [layer, nn.Activation("relu")]


def stack(rank: int, depth: int, kernel: int) -> list[Any]:
    """`depth` convolutions of stride 1, one channel."""
    rng = np.random.default_rng(depth)
    return [layer for _ in range(depth) for layer in conv(rank, 1, 1, kernel, positive=rng)]


def stack_field(kernel: int, depth: int) -> dict[str, int]:
    """Of the middle pixel of an image after `depth` convolutions: the measured size, and how many
    pixels tell the measured field from the patch `P_{depth k}` (A 4.1)."""
    radius = depth * (kernel // 2)
    side, middle = 2 * radius + 5, radius + 2
    xs = jnp.ones((1, side, side, 1))
    support = rf.depends_on(apply, stack(2, depth, kernel), xs, (middle, middle))
    (low, high), _ = rf.bounding_box(support)
    patch = np.abs(np.indices(support.shape) - middle).max(0) <= radius
    return {"size": high - low + 1, "unlike": int((support != patch).sum())}


def pooled_fields(stages: int) -> Iterator[dict[str, Any]]:
    """Convolution, pooling, convolution, pooling, ...: of each convolution how far apart its inputs
    are, its field's size in closed form and measured, and how much it added; 1-D."""
    layers = [*stack(1, 1, 3), nn.MaxPool1d(2, padding="SAME")] * stages
    length = 2 ** (stages + 3)
    apart, before = 1, 1
    for i, field in enumerate(rf.fields(eqx.nn.Sequential(layers), (length, 1))):
        middle = length // field.stride[0] // 2
        support = rf.depends_on(apply, layers[: i + 1], rf.spikes((length, 1)), (middle,))
        [(low, high)] = rf.bounding_box(support)
        size = high - low + 1
        if isinstance(layers[i], nn.Conv):
            sizes = {"closed": field.size[0], "measured": size, "added": size - before}
            yield {"apart": apart, **sizes}
        apart, before = field.stride[0], size


def random_field(rng: np.random.Generator) -> dict[str, Any]:
    """A random chain of convolutions and poolings: its description, and size, stride and centre
    of its field along every axis, in closed form and measured."""
    while True:
        rank = int(rng.integers(1, 3))
        shape = (80, 1) if rank == 1 else (26, 26, 1)
        try:
            layers, about = random_chain(rank, rng)
            closed = rf.fields(eqx.nn.Sequential(layers), shape)[-1]
            out = apply(layers, jnp.zeros((1, *shape))).shape[1:-1]
        except ValueError:  # a window that does not fit
            continue
        at = tuple(n // 2 for n in out)
        ends = [e for o in (0, 1) for pair in closed.interval([i + o for i in at]) for e in pair]
        if min(out) > 2 and min(ends) >= 0 and max(ends) < shape[0]:  # off the border
            break
    measured = rf.measured_field(apply, layers, shape, at)
    numbers = lambda field: list(zip(field.size, field.stride, field.centre, strict=True))
    return {"about": about, "closed": numbers(closed), "measured": numbers(measured)}


def random_chain(rank: int, rng: np.random.Generator) -> tuple[list[Any], str]:
    """One to four layers: kernels 1 to 4, strides, dilations, any padding."""
    some = lambda low, high: tuple(int(n) for n in rng.integers(low, high + 1, rank))
    layers, about, channels = [], [f"{rank}-D"], 1
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(["convolution", "convolution", "max", "average"]))
        pool = kind != "convolution"
        kernel, stride = some(1 + pool, 3 if pool else 4), some(1, 2 + pool)
        dilation = (1,) * rank if pool else some(1, 2)
        padding = [str(rng.choice(["SAME", "VALID"])), tuple(min(n - 1, 1) for n in kernel)]
        window = kernel, stride, padding[int(rng.integers(2))]
        if pool:
            layers.append((nn.MaxPool if kind == "max" else nn.AvgPool)(rank, *window))
        else:
            layers += conv(rank, channels, 2, *window, dilation, positive=rng)
            channels = 2
        about.append(f"{kind} k={kernel} s={stride} d={dilation} p={window[2]}")
    return layers, "; ".join(about)


def coverage(pixels: int, depth: int) -> float:
    """The share of (output, input) pairs that depend, after `depth` convolutions of size 3."""
    layers = stack(1, depth, 3)
    matrix = jacobian_matrix(lambda x: apply(layers, x), jnp.ones((pixels, 1)))
    return float((matrix != 0).mean())


def described(field: np.ndarray) -> dict[str, Any]:
    """An effective field's width, and its picture: gradient magnitudes, the largest 1."""
    magnitude = np.sqrt(field / field.max())
    return {"width": rf.width(field), "picture": np.round(magnitude, 4).tolist()}


def random_effective_field(depth: int, settings: Random, seed: int) -> dict[str, Any]:
    """Of the middle pixel behind `depth` convolutions with random weights."""
    key, noise, signs = jr.split(jr.key(seed), 3)
    layers, width = [], 1
    for one in jr.split(key, depth):
        layers.append(nn.Conv2d(width, settings.channels, 3, algorithm="lax", key=one))
        layers.append(nn.Activation("relu"))
        width = settings.channels
    xs = jr.normal(noise, (settings.inputs, 1 + 2 * depth, 1 + 2 * depth, 1))
    return described(rf.effective_field(apply, layers, xs, (depth, depth), signs))


def trained_fields(settings: Trained) -> Callable[[int, int], list[dict[str, Any]]]:
    """Of depth and seed: the middle position's effective field before and after training of a
    stack of convolutions without pooling, and the accuracy."""

    @functools.lru_cache(1)  # one at a time, compiled for all of its seeds
    def study(depth: int) -> Study:
        return Study({
            "data": settings.dataset, "backbone": "vgg",
            "backbone.plan": [settings.channels] * depth, "backbone.kernel_size": settings.kernel,
            "norm": "batch", "head": "linear", "optimizer": "adam", "optimizer.lr": 0.003,
            "schedule": "onecycle", "steps": settings.steps, "batch_size": settings.batch_size,
        })  # fmt: skip

    def fields(depth: int, seed: int) -> list[dict[str, Any]]:
        of, data = study(depth), study(depth).data
        images, _ = data.test.take(np.arange(min(settings.inputs, len(data.test))))
        xs, middle = normalise(images, data.mean, data.std), [n // 2 for n in data.input_shape[:-1]]
        field = lambda *net: described(rf.effective_field(features, net, xs, middle, jr.key(seed)))
        trained = of.train(seed)
        accuracy = of.evaluate(trained).accuracy
        return [
            {"when": "untrained", **field(*of.initial(seed))},
            {"when": "trained", **field(trained.model, trained.state), "accuracy": accuracy},
        ]

    return fields


def features(network: tuple[Any, eqx.nn.State], xs: Array) -> Array:
    """The backbone's, in inference mode."""
    model, state = network
    return eqx.nn.inference_mode(model).backbone(xs, state)[0]
