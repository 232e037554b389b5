"""Evaluation: what a model says of a split, and the numbers drawn from it."""

import copy
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PyTree, Shaped

from cnnlab.arguments import checked
from cnnlab.data.labels import NO_LABEL, PER_POSITION
from cnnlab.data.loaders import Loader, loader
from cnnlab.data.splits import Split
from cnnlab.display import View, shown
from cnnlab.errors import CnnlabError
from cnnlab.nn.replicas import AXIS
from cnnlab.train.losses import CrossEntropy, Loss, TaskLoss
from cnnlab.train.parallel import Runtime
from cnnlab.train.step import Judge
from cnnlab.train.tasks import Classification, Task


@shown
class Evaluation(NamedTuple):
    """What a model says of `n` examples: probabilities `(n, k)`, say (`Task.answer`).

    `criterion`: the loss that it is measured by, its weights left out.
    """

    answers: Float[np.ndarray, "n ..."]
    label: Shaped[np.ndarray, "n ..."]
    task: Task = Classification(())
    criterion: Loss = CrossEntropy()

    def view(self) -> View:
        right = None
        if self.task.name != "regression":
            right = f"{self.accuracy:.4f}"
        facts = {"task": self.task.name, "examples": f"{len(self.label):,}", "accuracy": right}
        return View.of("evaluation", facts)

    @property
    def predicted(self) -> Shaped[np.ndarray, "n ..."]:
        """The most likely labels, such as the class of highest probability."""
        return self.task.predicted(self.answers)

    def pairs(self) -> tuple[Shaped[np.ndarray, "m ..."], Shaped[np.ndarray, "m ..."]]:
        """True and predicted labels; those of all positions that have one, `(m,)`, where the task
        is about positions."""
        if self.task.name not in PER_POSITION:
            return self.label, self.predicted
        there = self.label != NO_LABEL
        return self.label[there], self.predicted[there]

    @property
    def accuracy(self) -> float:
        """The fraction of labels that are right."""
        label, predicted = self.pairs()
        return float((predicted == label).mean())

    @property
    def loss(self) -> float:
        """The mean loss; of several views, that of their mean answer."""
        if isinstance(self.criterion, CrossEntropy):
            there = np.maximum(self.label, 0)[..., None]
            p = np.take_along_axis(self.answers, there, -1)[..., 0][self.label != NO_LABEL]
            return float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())
        criterion = self.criterion
        if isinstance(criterion, TaskLoss):
            criterion = criterion.unweighted()
        target = self.task.target(jnp.asarray(self.label))
        losses = criterion(jnp.asarray(self.task.logits(self.answers)), target)
        return float(np.asarray(losses, np.float64).mean())

    def confusion(self) -> Int[np.ndarray, "k k"]:
        """`confusion[i, j]`: how many examples (or positions) of class `i` were taken for class
        `j`."""
        k = self.answers.shape[-1]
        label, predicted = self.pairs()
        return np.bincount(label * k + predicted, minlength=k * k).reshape(k, k)


@checked
class Evaluator:
    """Evaluates models on one split; compiled once.

    **Arguments:**

    - `batches`: one padded pass over the split (`data.loader(..., shuffle=False)`).
    - `judge`: `(model, model_state, raw batch) -> answers` (`train.step.make_judge`).
    - `runtime`: whose devices share each batch.
    - `task`, `criterion`: of its evaluations.
    """

    def __init__(
        self,
        batches: Loader,
        judge: Judge,
        runtime: Runtime,
        *,
        task: Task | None = None,
        criterion: Loss | None = None,
    ) -> None:
        self._loader, self._runtime = batches, runtime
        self._about = task or Classification(()), criterion or CrossEntropy()
        self._resident = runtime.replicate(batches.resident)
        split, everywhere = (NamedSharding(runtime.mesh(), spec) for spec in (P(AXIS), P()))

        @eqx.filter_jit
        def run(
            model: eqx.Module, state: eqx.nn.State, resident: PyTree, handle: PyTree
        ) -> tuple[Array, Array, Array]:
            batch = batches.fetch(resident, handle)
            batch = jax.lax.with_sharding_constraint(batch, split)
            found = judge(model, state, batch), batch.label, batch.index
            return jax.lax.with_sharding_constraint(found, everywhere)

        self._run = run

    def on(self, split: Split) -> "Evaluator":
        """The same for another split, placed as the first one is: not compiled again unless the
        shape of its images, or their number, is new."""
        other = copy.copy(self)
        size, part = self._loader.batch_size, self._runtime.part
        other._loader = loader(split, size, seed=0, shuffle=False, part=part)
        other._resident = self._runtime.replicate(other._loader.resident)
        return other

    def __call__(self, model: eqx.Module, model_state: eqx.nn.State) -> Evaluation:
        """Every example of the split, in its order.

        **Raises:** `CnnlabError` where an answer is not a number.
        """
        arrays, static = eqx.partition((model, model_state), eqx.is_array)
        model, model_state = eqx.combine(self._runtime.replicate(arrays), static)
        handles, resident = self._loader.handles(), self._resident
        spread = self._runtime.spread
        outputs = [self._run(model, model_state, resident, spread(handle)) for handle in handles]
        columns = [np.concatenate(column) for column in zip(*jax.device_get(outputs), strict=True)]
        answers, label, index = columns
        real = index >= 0
        each = answers[real].reshape(real.sum(), -1)
        lost = int((~np.isfinite(each).all(-1)).sum())
        if lost:
            raise CnnlabError(
                f"the network's answers are not numbers for {lost} of {real.sum()} examples: "
                f"its weights, or the examples, are too large or not numbers"
            )
        return Evaluation(answers[real], label[real], *self._about)
