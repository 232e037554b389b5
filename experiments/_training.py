"""Networks of one config trained from several seeds, in memory, compiled once for all of them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.random as jr
import numpy as np

from cnnlab.config import build, build_model, compose
from cnnlab.data import loader
from cnnlab.data.dataset import ArraySplit
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.state import init_state
from cnnlab.train.step import make_train_step


class Trained(NamedTuple):
    """A network after training, and the mean loss and accuracy of its last tenth of the steps."""

    model: eqx.Module
    state: eqx.nn.State
    loss: float
    accuracy: float


class Study:
    """One config of `experiments.train`, for several seeds.

    The same numbers as `python -m experiments.train` with that seed; no run directory.
    """

    def __init__(self, overrides: Sequence[str]) -> None:
        """**Arguments:** `overrides`, as on the command line of `experiments.train`."""
        self.cfg = compose([*overrides, "progress=false"])
        self.experiment = build(self.cfg)
        self.data = self.experiment.data
        shape, classes = self.data.input_shape, self.data.num_classes
        self._initial = eqx.filter_jit(lambda key: build_model(self.cfg, shape, classes, key=key))
        self._compiled: Callable[..., Any] | None = None
        self._evaluators: dict[str, Evaluator] = {}

    @property
    def parameters(self) -> int:
        """Of the network."""
        leaves = jax.tree.leaves(eqx.filter(self.experiment.model, eqx.is_inexact_array))
        return sum(leaf.size for leaf in leaves)

    def initial(self, seed: int) -> tuple[eqx.Module, eqx.nn.State]:
        """The network before training."""
        return self._initial(jr.split(jr.key(seed))[0])

    def train(self, seed: int, start: tuple[eqx.Module, eqx.nn.State] | None = None) -> Trained:
        """Train to the end of the config's plan; a moving average is what is returned, if any.

        **Arguments:** `start`, a network to go on from instead of the seed's random one.

        **Raises:** `FloatingPointError` when the loss is not finite.
        """
        e = self.experiment
        average = self.cfg.average
        model, model_state = self.initial(seed) if start is None else start
        state = init_state(
            model, model_state, e.optimizer, average=average is not None,
            key=jr.split(jr.key(seed))[1],
        )  # fmt: skip
        batches = loader(self.data.train, self.cfg.batch_size, seed=seed)
        if self._compiled is None:
            step = make_train_step(
                e.optimizer, compute_dtype=e.compute_dtype, average_decay=average
            )
            self._compiled = e.runtime.compile(step, e.prepare, batches.fetch, state)
            self._resident = e.runtime.replicate(batches.resident)
        arrays, history = e.runtime.place(state), []
        for _, handle in zip(range(e.plan.steps), batches.handles(), strict=False):
            arrays, metrics = self._compiled(arrays, self._resident, handle)
            history.append((metrics["loss"], metrics["accuracy"]))
        last = np.asarray(jax.device_get(history[-max(1, len(history) // 10) :]))
        loss, accuracy = last.mean(0)
        if not np.isfinite(last).all():
            raise FloatingPointError(f"the loss is {loss}; overrides: a smaller optimizer.lr")
        return Trained(*e.runtime.fetch(arrays, state).averaged(), float(loss), float(accuracy))

    def evaluate(
        self, trained: Any, images: Callable[[np.ndarray], np.ndarray] | None = None, name: str = ""
    ) -> Evaluation:
        """What a network (its first two fields: model, state) says of the test split.

        **Arguments:** `images`, a change of the raw test images, `(n, *spatial, c)` to the same
        with any spatial size, such as a shift; `name` stands for it: compiled once a name.
        """
        if name not in self._evaluators:
            split = self.data.test
            if images is not None:
                memory = split.in_memory()
                split = ArraySplit(images(np.asarray(memory.image)), np.asarray(memory.label))
            self._evaluators[name] = self.experiment.evaluator(split)
        return self._evaluators[name](trained[0], trained[1])

    def seeds(self, first: int, n: int) -> Iterator[tuple[int, Trained]]:
        """`n` trained networks, one after the other, with their seeds."""
        for seed in range(first, first + n):
            yield seed, self.train(seed)
