"""Networks of one config trained from several seeds, in memory, compiled once for all of them."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import numpy as np

from cnnlab.config import build_model, compose, instantiate
from cnnlab.config.objects import make_experiment, runtime_and_data
from cnnlab.data import Dataset, Split, loader
from cnnlab.data.splits import ArraySplit
from cnnlab.display import View, shown
from cnnlab.models import count_parameters, freeze, load_backbone, named_arrays
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.state import init_state, seed_keys
from cnnlab.train.step import Metrics
from cnnlab.train.training import History, Training

# A model without its state, and the state.
Network: TypeAlias = tuple[Any, eqx.nn.State]


@shown
class Trained(NamedTuple):
    """A network after training, and the mean loss and accuracy of its last tenth of the steps; no
    accuracy where labels are not right or wrong."""

    model: eqx.Module
    state: eqx.nn.State
    loss: float
    accuracy: float | None

    def view(self) -> View:
        return View(notes=[f"trained: loss {self.loss:.4f}  accuracy {self.accuracy:.4f}"])


@shown
class Study:
    """One config of `experiments.train`, for several seeds.

    The same numbers as `python -m experiments.train` with that seed; no run directory. What takes
    the seed from the config itself (`augment=alternating_flip`) keeps that of the config.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        data: Dataset | None = None,
        model: Callable[..., eqx.Module] | None = None,
        frozen: bool = False,
        trust: Sequence[str] = (),
        extra_dir: str | Path | None = None,
    ) -> None:
        """**Arguments:**

        - `settings`: those of `experiments.train`, by key in their order, `{"head": "mlp",
          "head.hidden": [64]}`.
        - `data`: taken instead of the config's, as `classes_of` makes one; the limits apply.
        - `model`: `(in_shape, num_classes, *, key) -> module`, a network in place of the config's.
        - `frozen`: only the head is trained; the backbone's running statistics stay, too.
        - `trust`, `extra_dir`: modules and configs of one's own, as `cnnlab.compose` takes them.
        """
        own = {"trust": trust, "extra_dir": extra_dir}
        self.cfg = configured({**settings, "progress": False}, **own)
        known = _read(self.cfg.data) if data is None else data
        runtime, self.data = runtime_and_data(self.cfg, known)
        shapes = self.data.input_shape, self.data.num_classes
        make: Callable[..., Any]
        if model is None:
            vocabulary = self.data.vocabulary
            make = functools.partial(build_model, self.cfg, *shapes, vocabulary=vocabulary)
        else:
            make = functools.partial(eqx.nn.make_with_state(model), *shapes)
        self._initial = eqx.filter_jit(lambda key: make(key=key))
        self._frozen = frozen
        network, state = self.initial(self.cfg.seed)
        trainable = None
        if frozen:
            trainable = eqx.filter(freeze(network), jax.tree.map(eqx.is_inexact_array, network))
        self.experiment = make_experiment(
            self.cfg, runtime, self.data, (network, state),
            key=seed_keys(self.cfg.seed)[1], trainable=trainable,
        )  # fmt: skip
        self._trainer = self.experiment.trainer()
        self._evaluators: dict[str, Evaluator] = {}

    @property
    def parameters(self) -> int:
        """Of the network."""
        return count_parameters(self.experiment.model)

    def view(self) -> View:
        steps = self.experiment.settings.steps
        about = f"{self.data.name}, {self.parameters:,} parameters, {steps:,} steps"
        return View(notes=[f"study: {about}"])

    def initial(self, seed: int) -> Network:
        """The network before training."""
        return self._with_mode(*self._initial(seed_keys(seed)[0]))

    def on_backbone(self, seed: int, trained: Any) -> Network:
        """The seed's network before training, with the backbone of another (its first two fields:
        model, state), whose head may be for other classes (A 4.8).

        **Raises:** `ValueError` where the backbones differ.
        """
        *network, report = load_backbone(
            *self.initial(seed), named_arrays(trained[0].backbone, trained[1])
        )
        if not report.complete:
            raise ValueError(f"trained: {report}")
        return self._with_mode(*network)

    def train(
        self, seed: int, start: Network | None = None, *, examples: Split | None = None
    ) -> Trained:
        """Train to the end of the config's length; a moving average is what is returned, if any.

        **Arguments:** `start`, a network to go on from instead of the seed's random one;
        `examples`, to train on instead of the data set's: as many, or it is compiled again.

        **Raises:** `FloatingPointError` when the loss is not finite.
        """
        history = History()
        with self._start(seed, start, examples) as training:
            training.upto(self.experiment.settings.steps, [history])
            network = training.state().averaged()
        found = history.arrays()
        last = max(1, len(found["loss"]) // 10)
        means = {name: float(values[-last:].mean()) for name, values in found.items()}
        if not np.isfinite(means["loss"]):
            raise FloatingPointError(
                f"the loss is {means['loss']}; overrides: a smaller optimizer.lr"
            )
        return Trained(*network, means["loss"], means.get("accuracy"))

    def stepper(self, seed: int) -> Callable[[], Metrics]:
        """A function that makes a training step, the next one at each call, to be timed."""
        return self._start(seed, None, None).advance

    def _start(self, seed: int, start: Network | None, examples: Split | None) -> Training:
        network = self.initial(seed) if start is None else self._with_mode(*start)
        average = self.cfg.average is not None
        key = seed_keys(seed)[1]
        state = init_state(*network, self.experiment.optimizer, average=average, key=key)
        split = self.data.train if examples is None else examples
        return self._trainer.start(state, loader(split, self.cfg.batch_size, seed=seed))

    def evaluate(
        self, trained: Any, images: Callable[[np.ndarray], np.ndarray] | None = None, name: str = ""
    ) -> Evaluation:
        """What a network (its first two fields: model, state) says of the test split.

        **Arguments:** `images`, a change of the raw test images, `(n, *spatial, c)` to the same
        with any spatial size, such as a shift; `name` stands for it. Compiled once a size.
        """
        known = self._evaluators
        if "" not in known:
            known[""] = self.experiment.evaluator(self.data.test)
        if images is None:
            return known[""](trained[0], trained[1])
        if name not in known:
            memory = self.data.test.in_memory()
            changed = images(np.asarray(memory.image))
            known[name] = known[""].on(ArraySplit(changed, np.asarray(memory.label)))
        return known[name](trained[0], trained[1])

    def score(self, trained: Any) -> float:
        """What the task, or the config's `metrics`, measures first, of the test split: of classes
        the accuracy. NaN where it does not exist."""
        judge = self.experiment.judge
        return self.experiment.metrics[judge].measure(self.evaluate(trained))

    def validation(self, trained: Any) -> float:
        """As `score`, of the validation examples, to choose settings by: more is always better (a
        score of which less is better has another sign)."""
        if "val" not in self._evaluators:
            self._evaluators["val"] = self.experiment.evaluator(self.data.val)
        metric = self.experiment.metrics[self.experiment.judge]
        found = metric.measure(self._evaluators["val"](trained[0], trained[1]))
        return found if metric.larger_is_better else -found

    def seeds(self, first: int, n: int) -> Iterator[tuple[int, Trained]]:
        """`n` trained networks, one after the other, with their seeds."""
        for seed in range(first, first + n):
            yield seed, self.train(seed)

    def _with_mode(self, model: Any, state: eqx.nn.State) -> Network:
        if not self._frozen:
            return model, state
        backbone = eqx.nn.inference_mode(model.backbone)
        return eqx.tree_at(lambda m: m.backbone, model, backbone), state


def read_data(settings: Mapping[str, Any]) -> Dataset:
    """The data set of a config, with its limits."""
    cfg = configured(settings)
    return runtime_and_data(cfg, _read(cfg.data))[1]


def classes_of(data: Dataset, classes: Sequence[int]) -> Dataset:
    """The examples of some classes, which are numbered anew in the order given."""
    number = np.full(data.num_classes, -1)
    number[list(classes)] = np.arange(len(classes))

    def part(split: Split) -> ArraySplit:
        memory = split.in_memory()
        label = number[np.asarray(memory.label)]
        kept = label >= 0
        return ArraySplit(np.asarray(memory.image)[kept], label[kept])

    return dataclasses.replace(
        data,
        train=part(data.train),
        val=part(data.val),
        test=part(data.test),
        num_classes=len(classes),
        class_names=tuple(data.class_names[c] for c in classes),
    )


def configured(settings: Mapping[str, Any], **own: Any) -> Any:
    """The config of `experiments.train` with settings, and what is one's `own`, as `Study` takes
    them."""
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in settings.items()}
    return compose([f"{key}={text}" for key, text in texts.items()], **own)


@functools.lru_cache(maxsize=2)
def _read(node: Any) -> Dataset:
    """The data set of a config node: read once for all studies of a process."""
    return instantiate(node, key="data")


def tuned(
    settings: Mapping[str, Any], rates: Sequence[float], *, seed: int = 0, **own: Any
) -> float:
    """The learning rate with which a config's network does best on validation examples.

    **Arguments:** `settings`, and `own`, as `Study` takes them; `rates`, as `best_rate` does.
    """

    def score(rate: float) -> float:
        study = Study({**settings, "optimizer.lr": rate}, **own)
        return study.validation(study.train(seed))

    return best_rate(rates, score)


def best_rate(rates: Sequence[float], score: Callable[[float], float]) -> float:
    """The rate whose score is the highest; nothing is tried where there is no choice.

    **Arguments:** `score`, of a rate; it may raise `FloatingPointError`, as `Study.train` does.

    **Raises:** `FloatingPointError` where it does so with all of them.
    """
    if len(rates) == 1:
        return rates[0]
    found: dict[float, float] = {}
    for rate in rates:
        with contextlib.suppress(FloatingPointError):
            found[rate] = score(rate)
    if not found:
        raise FloatingPointError(f"the loss is not finite with any of the rates {list(rates)}")
    return max(found, key=lambda rate: found[rate])
