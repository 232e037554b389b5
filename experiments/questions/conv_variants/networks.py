"""Networks of one VGG pattern and one size, each of another kind of convolution."""

import bisect
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import equinox as eqx
import jax.random as jr

from cnnlab import lab, summary
from cnnlab.bench.timing import interleaved, median
from cnnlab.config import build_model
from cnnlab.lab import Count, DataSet, Limit, Plan, Rates, Records, Study, configured, read_data

BUDGETS = {"parameters": "equal parameters", "multiply_adds": "equal multiply-adds"}
CHEAPER = ("grouped", "depthwise", "depthwise_separable")
VARIANTS = ("dense", "pointwise", *CHEAPER, "dilated", "locally_connected", "strided")
Widths = tuple[int, ...]


@dataclass(frozen=True)
class Training:
    """A data set, the dense network's plan, and how networks are trained on it."""

    data: DataSet
    plan: Plan
    kernel_size: Count
    variants: Annotated[Sequence[str], f"some of {', '.join(VARIANTS)}"]
    budgets: Annotated[Sequence[str], "some of parameters, multiply_adds"]
    batch_size: Count
    limit_train: Limit
    limit_eval: Limit
    steps: Count
    seeds: Count
    most_seeds: Count
    rates: Rates


SETTINGS = {
    "mnist1d": Training(
        data="mnist1d", plan=(16, "M", 32), kernel_size=5, variants=VARIANTS,
        budgets=tuple(BUDGETS), batch_size=100, limit_train=None, limit_eval=None, steps=1500,
        seeds=3, most_seeds=20, rates=(1e-2, 3e-2),
    ),
    "fashion_mnist": Training(
        data="fashion_mnist", plan=(16, "M", 32, "M", 32), kernel_size=3, variants=VARIANTS,
        budgets=("multiply_adds",), batch_size=64, limit_train=8000, limit_eval=None, steps=1000,
        seeds=3, most_seeds=6, rates=(3e-3, 1e-2),
    ),
}  # fmt: skip


class Task:
    """The networks of a task: counted, fitted to a budget, trained and timed."""

    def __init__(self, training: Training, *, groups: int) -> None:
        """**Arguments:** `groups`, of the grouped convolutions."""
        self.training, self.groups = training, groups
        names = ("data", "steps", "batch_size", "limit_train", "limit_eval")
        self.options = {name: getattr(training, name) for name in names}
        self.options |= {"optimizer": "adam", "schedule": "onecycle"}
        self.widths: Widths = tuple(n for n in training.plan if n != "M")  # the dense network's
        self._studies: dict[Any, Study] = {}
        self._config = functools.cache(lambda kind: configured(self._settings(kind, self.widths)))

    @functools.cached_property
    def _shape(self) -> tuple[tuple[int, ...], int]:
        data = read_data(self.options)
        return data.input_shape, data.num_classes

    def _settings(self, variant: str, widths: Sequence[int]) -> dict[str, Any]:
        """Of the study of a network."""
        return {
            **self.options,
            "backbone.plan": self._plan(widths),
            "backbone.kernel_size": self.training.kernel_size,
            "backbone.pool": "stride" if variant == "strided" else "max",
            "conv": "dense" if variant == "strided" else variant,
            **({"conv.groups": self.groups} if variant == "grouped" else {}),
        }

    def _plan(self, widths: Sequence[int]) -> list[int | str]:
        remaining = iter(widths)
        return [entry if entry == "M" else next(remaining) for entry in self.training.plan]

    def size(self, variant: str, widths: Sequence[int]) -> dict[str, int]:
        """What a network costs, by budget; it is not made for that."""
        (shape, classes), cfg = self._shape, self._config(variant)
        cfg.backbone.plan = self._plan(widths)
        make = functools.partial(build_model, cfg, shape, classes)
        model, state = eqx.filter_eval_shape(make, key=jr.key(0))
        table = summary(model, shape, state)
        return {budget: getattr(table, budget) for budget in BUDGETS}

    def fit(self, variant: str, budget: str) -> Widths:
        """Widths with which a variant costs what the dense network costs."""
        return fit_widths(
            lambda widths: self.size(variant, widths)[budget],
            self.widths,
            self.size("dense", self.widths)[budget],
            step=self.groups if variant == "grouped" else 1,
            nested=variant == "depthwise",
        )

    def baseline(self) -> float:
        """The accuracy of logistic regression, in percent."""
        return 100 * lab.logistic_regression(read_data(self.options))

    def rate(self, variant: str, widths: Sequence[int], seed: int) -> float:
        """The learning rate that is best for a network."""
        return lab.tuned(self._settings(variant, widths), self.training.rates, seed=seed)

    def study(self, variant: str, widths: Sequence[int], rate: float | None = None) -> Study:
        """The networks of a variant with these widths, to be trained."""
        key = variant, tuple(widths)
        if key not in self._studies:
            rate = self.training.rates[0] if rate is None else rate
            self._studies[key] = Study({**self._settings(*key), "optimizer.lr": rate})
        return self._studies[key]

    def tested(
        self, variant: str, widths: Sequence[int], rate: float, seed: int
    ) -> dict[str, float | str]:
        """Train a network; the test examples that it has right, and their share."""
        study = self.study(variant, widths, rate)
        found = study.evaluate(study.train(seed))
        return {"accuracy": found.accuracy, "right": lab.pack(found.predicted == found.label)}

    def images_per_second(
        self, networks: dict[str, Sequence[int]], seed: int, seconds: float
    ) -> dict[str, float]:
        """Training examples that networks (widths by variant) take in a second, the steps of all
        taking turns."""
        studies = {variant: self.study(variant, widths) for variant, widths in networks.items()}
        steps = {variant: study.stepper(seed) for variant, study in studies.items()}
        times = interleaved(steps, seconds=seconds, least=5, most=1000)
        return {v: studies[v].cfg.batch_size / median(times[v]) for v in networks}


def scaled_widths(
    base: Sequence[int], scale: float, *, step: int = 1, nested: bool = False
) -> Widths:
    """`base` times `scale`, rounded to multiples of `step`, at least one of it.

    With `nested`, only the first is rounded and the others keep their ratios to it, so that each
    stays a multiple of what it was a multiple of (depthwise convolutions need that).
    """
    round_to = lambda width: step * max(1, round(width / step))
    if not nested:
        return tuple(round_to(scale * width) for width in base)
    first = round_to(scale * base[0])
    return tuple(first * width // base[0] for width in base)


def fit_widths(
    count: Callable[[Widths], int],
    base: Sequence[int],
    target: int,
    *,
    step: int = 1,
    nested: bool = False,
) -> Widths:
    """Widths in the proportions of `base` whose `count` comes as near to `target` as it can.

    The common scale is found by bisection; what rounding leaves is made up by the last width,
    except with `nested`.

    **Arguments:** `count`, of widths, growing in each of them, such as a model's parameters;
    `step`, `nested`: as for `scaled_widths`.
    """
    size = functools.cache(count)  # bisection asks for the same widths again and again
    at = lambda i: scaled_widths(base, 1.0001**i, step=step, nested=nested)
    scales = range(-100_000, 100_000)  # 1 / 22,000 to 22,000
    above = scales[bisect.bisect(scales, target, key=lambda i: size(at(i)))]
    found = [at(above - 1), at(above)]
    if not nested:
        found = [_last_fitted(size, widths, target, step) for widths in found]
    return min(found, key=lambda widths: abs(math.log(size(widths) / target)))


def _last_fitted(size: Callable[[Widths], int], widths: Widths, target: int, step: int) -> Widths:
    """The same with another last width, in which a size is linear."""
    *rest, last = widths
    slope = (size((*rest, last + step)) - size(widths)) / step
    wanted = last + (target - size(widths)) / slope
    return (*rest, step * max(1, round(wanted / step)))


Network = dict[str, Any]


def beside_dense(
    networks: Records, variants: Sequence[str] | str, budgets: Sequence[str]
) -> Iterator[tuple[str, Network, Network]]:
    """Of every task, and of these budgets: its name, a network of the variants, the dense one."""
    for (task, budget), nets in networks.by("task", "budget").items():
        [dense] = nets.where(variant="dense")
        for net in nets.where(variant=variants) if budget in budgets else ():
            yield task, net, dense
