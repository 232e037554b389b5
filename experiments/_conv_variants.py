"""Networks of one VGG pattern and one size, each of another kind of convolution."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
from omegaconf import DictConfig

from cnnlab import nn, summary
from cnnlab.analysis import Summary, count_parameters
from cnnlab.analysis.budget import fit_widths
from cnnlab.bench.timing import interleaved, median
from cnnlab.lab.cells import Cells
from cnnlab.lab.study import Study, read_data
from cnnlab.models import PLANS, VGG, Classifier, LinearHead
from cnnlab.nn import factories

BUDGETS = ("parameters", "multiply_adds")


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set, the dense network's plan, and how networks are trained on it.

    `options` are the overrides of `experiments.train` that all networks share.
    """

    plan: Sequence[int | str]
    kernel_size: int
    groups: int
    options: Sequence[str]

    @functools.cached_property
    def _shape(self) -> tuple[tuple[int, ...], int]:
        data = read_data(self.options)
        return data.input_shape, data.num_classes

    @functools.cached_property
    def studies(self) -> dict[tuple[str, tuple[int, ...]], Study]:
        """By variant and widths, those that were needed so far."""
        return {}

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the dense network's convolutions."""
        return tuple(width for width in self.plan if width != "M")

    def count(self, variant: str, widths: Sequence[int]) -> Summary:
        """A network's table, without making the network."""
        shape, classes = self._shape
        kind = "dense" if variant == "strided" else variant
        options = {"groups": self.groups} if kind == "grouped" else {}

        def make(key: Any) -> Classifier:
            backbone = VGG(
                shape, self._plan(widths), norm=nn.BatchNorm, kernel_size=self.kernel_size,
                conv=functools.partial(getattr(factories, kind), **options),
                pool="stride" if variant == "strided" else "max", key=key,
            )  # fmt: skip
            return Classifier(backbone, LinearHead(backbone.out_shape, classes, key=key))

        model, state = eqx.filter_eval_shape(eqx.nn.make_with_state(make), jr.key(0))
        return summary(model, shape, state)

    def fit(self, variant: str, budget: str) -> tuple[int, ...]:
        """Widths with which a variant costs what the dense network costs."""
        target = getattr(self.count("dense", self.widths), budget)
        return fit_widths(
            lambda widths: getattr(self.count(variant, widths), budget),
            self.widths,
            target,
            step=self.groups if variant == "grouped" else 1,
            nested=variant == "depthwise",
        )

    def study(self, variant: str, widths: Sequence[int]) -> Study:
        """The networks of a variant with these widths, to be trained."""
        key = variant, tuple(widths)
        if key not in self.studies:
            kind = "dense" if variant == "strided" else variant
            self.studies[key] = Study([
                *self.options,
                f"backbone.plan={self._plan(widths)}",
                f"backbone.kernel_size={self.kernel_size}",
                f"backbone.pool={'stride' if variant == 'strided' else 'max'}",
                f"conv={kind}",
                *([f"conv.groups={self.groups}"] if kind == "grouped" else []),
            ])  # fmt: skip
        return self.studies[key]

    def accuracy(self, variant: str, widths: Sequence[int], seed: int) -> float:
        """Train a network; the share of the test examples that is right."""
        study = self.study(variant, widths)
        return study.evaluate(study.train(seed)).accuracy

    def images_per_second(
        self, networks: dict[str, Sequence[int]], seed: int, seconds: float
    ) -> dict[str, float]:
        """Training examples that networks take in a second, the steps of all taking turns."""
        studies = {variant: self.study(variant, widths) for variant, widths in networks.items()}
        steps = {variant: study.stepper(seed) for variant, study in studies.items()}
        times = interleaved(steps, seconds=seconds, least=5, most=1000)
        return {v: studies[v].cfg.batch_size / median(times[v]) for v in networks}

    def _plan(self, widths: Sequence[int]) -> list[int | str]:
        remaining = iter(widths)
        return [entry if entry == "M" else next(remaining) for entry in self.plan]


def measured(cfg: DictConfig, name: str, cells: Cells) -> dict[str, Any]:
    """What is measured in one task: sizes at equal widths, and networks by budget."""
    settings = cfg.settings[name]
    show = lambda value: "null" if value is None else value
    limits = ("data", "steps", "batch_size", "limit_train", "limit_eval")
    options = [f"{key}={show(settings[key])}" for key in limits]
    options += ["optimizer=adam", f"optimizer.lr={cfg.lr}"]
    task = Task(list(settings.plan), settings.kernel_size, cfg.groups, options)
    seeds = range(cfg.seed, cfg.seed + settings.seeds)

    def size(variant: str, widths: Any) -> dict[str, int]:
        table = task.count(variant, widths)
        return {budget: getattr(table, budget) for budget in BUDGETS}

    def network(variant: str, budget: str) -> dict[str, Any]:
        widths = task.fit(variant, budget)
        return {"widths": list(widths), **size(variant, widths)}

    found: dict[str, Any] = {
        "same_widths": {
            v: cells.get(f"{name} same widths {v}", lambda v=v: size(v, task.widths))
            for v in ("dense", "grouped", "depthwise", "depthwise_separable")
        },
        "budgets": {},
    }
    for budget in settings.budgets:
        label = f"{name}, {budget}"
        nets = cells.all(
            {f"{label}, {v}": lambda v=v, b=budget: network(v, b) for v in cfg.variants}
        )
        nets = {v: dict(nets[f"{label}, {v}"]) for v in cfg.variants}
        widths = {v: tuple(net["widths"]) for v, net in nets.items()}
        # The dense network is the same for either budget, and so are its runs.
        key = lambda v, seed, widths=widths: f"{name}, {v} {widths[v]}, {seed}"
        runs = cells.all(
            {
                key(v, seed): lambda v=v, seed=seed, widths=widths: task.accuracy(
                    v, widths[v], seed
                )
                for v in cfg.variants
                for seed in seeds
            }
        )
        speed = cells.get(
            f"{label}, images/s",
            lambda widths=widths: task.images_per_second(widths, cfg.seed, cfg.seconds),
        )
        for v, net in nets.items():
            net["accuracy"] = [runs[key(v, seed)] for seed in seeds]
            net["images_per_second"] = speed[v]
        found["budgets"][budget] = nets
    return found


def counted(seed: int, draws: int) -> dict[str, list[tuple[int, int]]]:
    """Weights of random layers, and what A 5.1 to 5.3 say: pairs, by kind of layer."""
    generator = np.random.default_rng(seed)
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in FORMULAS}
    for _ in range(draws):
        k, (c, out) = int(generator.integers(0, 4)), generator.integers(1, 512, 2).tolist()
        s, g = 2 * k + 1, int(generator.integers(1, 16))
        for kind, (make, formula) in FORMULAS.items():
            layer = eqx.filter_eval_shape(functools.partial(make, s, c, out, g), key=jr.key(0))
            found[kind].append((count_parameters(layer), formula(s, c, out, g)))
    return found


# Kernel size s, channels c and c', groups g; the grouped layer has g c and g c' channels.
FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., int]]] = {
    "dense": (
        lambda s, c, out, g, key: nn.Conv2d(c, out, s, use_bias=False, key=key),
        lambda s, c, out, g: s**2 * c * out,
    ),
    "pointwise": (
        lambda s, c, out, g, key: nn.PointwiseConv2d(c, out, use_bias=False, key=key),
        lambda s, c, out, g: c * out,
    ),
    "depthwise": (
        lambda s, c, out, g, key: nn.DepthwiseConv2d(c, s, use_bias=False, key=key),
        lambda s, c, out, g: s**2 * c,
    ),
    "grouped": (
        lambda s, c, out, g, key: nn.GroupedConv2d(g * c, g * out, s, g, use_bias=False, key=key),
        lambda s, c, out, g: s**2 * (g * c) * (g * out) // g,
    ),
    "separable": (
        lambda s, c, out, g, key: nn.SeparableConv2d(c, out, s, use_bias=False, key=key),
        lambda s, c, out, g: s**2 * c + c * out,
    ),
}


def typical_ratios() -> list[float]:
    """Weights of a separable layer as a part of a dense one's, for the layers of VGG-16 on RGB."""
    widths = [3, *(width for width in PLANS["vgg16"] if width != "M")]
    size = lambda kind, c, out: count_parameters(
        eqx.filter_eval_shape(functools.partial(FORMULAS[kind][0], 3, c, out, 1), key=jr.key(0))
    )
    return [
        size("separable", c, out) / size("dense", c, out) for c, out in itertools.pairwise(widths)
    ]
