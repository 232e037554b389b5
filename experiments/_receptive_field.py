"""Networks whose receptive fields are measured, with random weights and with trained ones."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array
from omegaconf import DictConfig

from cnnlab import nn
from cnnlab.analysis import fields as rf
from cnnlab.analysis import locality
from cnnlab.data.augment import normalise
from cnnlab.lab.study import Study

Layers = list[Callable[[Array], Array]]


def run(layers: Layers, xs: Array) -> Array:
    """A chain of layers."""
    for layer in layers:
        xs = layer(xs)
    return xs


def _positive(rng: np.random.Generator) -> Callable[..., Array]:
    """Weights that cannot cancel, so that what an output depends on has a gradient."""
    return lambda key, shape, dtype: jnp.asarray(rng.uniform(0.5, 1.5, shape), dtype)


def stack(rank: int, depth: int, kernel: int) -> Layers:
    """`depth` convolutions of stride 1, one channel, each with its nonlinearity (A 4.2)."""
    options = {"kernel_init": _positive(np.random.default_rng(depth)), "algorithm": "lax"}
    return [
        layer
        for _ in range(depth)
        for layer in (
            nn.Conv(rank, 1, 1, kernel, key=jr.key(0), **options), nn.Activation("relu")
        )
    ]  # fmt: skip


def stack_field(depth: int, kernel: int) -> list[int]:
    """Of the middle pixel of an image after `depth` convolutions: depth, the measured size, and how
    many pixels tell the measured field from the patch `P_{depth k}` (A 4.1)."""
    k = (kernel - 1) // 2
    side = 2 * depth * k + 5
    middle = side // 2
    support = rf.depends_on(
        run, stack(2, depth, kernel), jnp.ones((1, side, side, 1)), (middle,) * 2
    )
    (low, high), _ = rf.box(support)
    distance = locality.distances((side,) * 2, (side,) * 2)[middle, middle]
    return [depth, high - low + 1, int((support != (distance <= depth * k)).sum())]


def pooled_fields(stages: int) -> list[dict[str, Any]]:
    """Convolution, pooling, convolution, pooling, ...: of each convolution how far apart its inputs
    are, its field's size in closed form and measured, and how much it added; 1-D."""
    layers: Layers = []
    for _ in range(stages):
        layers += [*stack(1, 1, 3), nn.MaxPool1d(2, padding="SAME")]
    length = 2 ** (stages + 3)
    found: list[dict[str, Any]] = []
    apart, before = 1, 1
    for i, field in enumerate(rf.fields(eqx.nn.Sequential(layers), (length, 1))):
        middle = length // field.stride[0] // 2
        support = rf.depends_on(run, layers[: i + 1], rf.spikes((length, 1)), (middle,))
        [(low, high)] = rf.box(support)
        size = high - low + 1
        if isinstance(layers[i], nn.Conv):
            row = {"apart": apart, "closed": field.size[0], "measured": size}
            found.append({**row, "added": size - before})
        apart, before = field.stride[0], size
    return found


def random_field(rng: np.random.Generator) -> dict[str, Any]:
    """A random chain of convolutions and poolings: its description, and size, stride and centre
    of its field along every axis, in closed form and measured."""
    while True:
        rank = int(rng.integers(1, 3))
        side = 80 if rank == 1 else 26
        try:
            layers, about = _random_chain(rank, rng)
            field = rf.fields(eqx.nn.Sequential(layers), (*(side,) * rank, 1))[-1]
            out = run(layers, jnp.zeros((1, *(side,) * rank, 1))).shape[1:-1]
        except ValueError:  # a window that does not fit
            continue
        first = tuple(n // 2 for n in out)
        then = tuple(o + 1 for o in first)
        ends = [end for at in (first, then) for pair in field.interval(at) for end in pair]
        if (
            min(ends) >= 0
            and max(ends) < side
            and all(o < n for o, n in zip(then, out, strict=True))
        ):
            break
    xs = rf.spikes((*(side,) * rank, 1))
    boxes = [rf.box(rf.depends_on(run, layers, xs, at)) for at in (first, then)]
    measured = []
    for (low, high), (next_low, _), o in zip(*boxes, first, strict=True):
        size, stride = high - low + 1, next_low - low
        measured.append([size, stride, low - o * stride + (size - 1) / 2])
    closed = [list(axis) for axis in zip(field.size, field.stride, field.centre, strict=True)]
    return {"about": about, "closed": closed, "measured": measured}


def _random_chain(rank: int, rng: np.random.Generator) -> tuple[Layers, str]:
    """One to four layers: kernels 1 to 4, strides, dilations, any padding."""
    some = lambda low, high: tuple(int(n) for n in rng.integers(low, high + 1, rank))
    layers: Layers = []
    about, channels = [f"{rank}-D"], 1
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(["convolution", "convolution", "max", "average"]))
        pool = kind != "convolution"
        kernel, stride = some(1 + pool, 3 if pool else 4), some(1, 2 + pool)
        dilation = (1,) * rank if pool else some(1, 2)
        padding = [str(rng.choice(["SAME", "VALID"])), tuple(min(n - 1, 1) for n in kernel)]
        padding = padding[int(rng.integers(2))]
        if pool:
            make = nn.MaxPool if kind == "max" else nn.AvgPool
            layers.append(make(rank, kernel, stride, padding))
        else:
            options = {"kernel_init": _positive(rng), "algorithm": "lax", "key": jr.key(0)}
            layers += [
                nn.Conv(rank, channels, 2, kernel, stride, padding, dilation, **options),
                nn.Activation("relu"),
            ]
            channels = 2
        about.append(f"{kind} k={kernel} s={stride} d={dilation} p={padding}")
    return layers, "; ".join(about)


def coverage(pixels: int) -> list[float]:
    """The share of (output, input) pairs that depend, after 1, 2, ... convolutions of size 3."""
    shares = []
    for depth in range(1, pixels):
        layers = stack(1, depth, 3)
        strength = locality.strength(
            lambda x, layers=layers: run(layers, x), [jnp.ones((pixels, 1))]
        )
        shares.append(float((strength > 0).mean()))
    return shares


def random_effective_field(depth: int, kernel: int, channels: int, inputs: int, seed: int) -> Any:
    """Of the middle pixel behind `depth` convolutions with random weights: `(side, side)`."""
    side = depth * (kernel - 1) + 1
    key, noise, signs = jr.split(jr.key(seed), 3)
    layers: Layers = []
    for i, one in enumerate(jr.split(key, depth)):
        width = channels if i else 1
        conv = nn.Conv2d(width, channels, kernel, algorithm="lax", key=one)
        layers += [conv, nn.Activation("relu")]
    xs = jr.normal(noise, (inputs, side, side, 1))
    return rf.effective_field(run, layers, xs, (side // 2,) * 2, signs)


def features(pair: tuple[Any, eqx.nn.State], xs: Array) -> Array:
    """The backbone's features of a model with its state, in inference mode."""
    model, state = pair
    return eqx.nn.inference_mode(model).backbone(xs, state)[0]


class Backbone:
    """A stack of convolutions of stride 1 without pooling, trained as a classifier."""

    def __init__(self, cfg: DictConfig, plan: Sequence[int]) -> None:
        """**Arguments:** `cfg`, with `dataset`, `kernel`, `steps`, `batch_size`, `inputs`."""
        self.study = Study([
            f"data={cfg.dataset}", "backbone=vgg", f"backbone.plan={list(plan)}".replace(" ", ""),
            f"backbone.kernel_size={cfg.kernel}", "norm=batch", "head=linear", "optimizer=adam",
            "optimizer.lr=0.003", "schedule=onecycle", f"steps={cfg.steps}",
            f"batch_size={cfg.batch_size}",
        ])  # fmt: skip
        data = self.study.data
        images, _ = data.test.take(np.arange(min(cfg.inputs, len(data.test))))
        self.xs = normalise(images, data.mean, data.std)
        self.middle = tuple(n // 2 for n in data.input_shape[:-1])

    def fields(self, seed: int) -> dict[str, Any]:
        """The middle position's effective field before and after training, and the accuracy."""
        trained = self.study.train(seed)
        of = lambda pair: rf.effective_field(features, pair, self.xs, self.middle, jr.key(seed))
        return {
            "before": of(self.study.initial(seed)),
            "after": of((trained.model, trained.state)),
            "accuracy": self.study.evaluate(trained).accuracy,
        }
