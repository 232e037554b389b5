"""Evaluation: class probabilities over a split, and the numbers drawn from them."""

import copy
from typing import NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int, PyTree

from cnnlab.arguments import checked
from cnnlab.data.loaders import Loader, loader
from cnnlab.data.splits import Split
from cnnlab.errors import CnnlabError
from cnnlab.nn.replicas import AXIS
from cnnlab.train.parallel import Runtime
from cnnlab.train.step import Judge


class Evaluation(NamedTuple):
    """What a model says of `n` examples."""

    probabilities: Float[np.ndarray, "n k"]
    label: Int[np.ndarray, " n"]

    @property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """The most probable class."""
        return self.probabilities.argmax(-1)

    @property
    def accuracy(self) -> float:
        """The fraction of examples whose most probable class is right."""
        return float((self.predicted == self.label).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        p = self.probabilities[np.arange(len(self.label)), self.label]
        return float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())

    def confusion(self) -> Int[np.ndarray, "k k"]:
        """`confusion[i, j]`: how many examples of class `i` were taken for class `j`."""
        k = self.probabilities.shape[1]
        return np.bincount(self.label * k + self.predicted, minlength=k * k).reshape(k, k)


@checked
class Evaluator:
    """Evaluates models on one split; compiled once.

    **Arguments:**

    - `batches`: one padded pass over the split (`data.loader(..., shuffle=False)`).
    - `judge`: `(model, model_state, raw batch) -> probabilities` (`train.step.make_judge`).
    - `runtime`: whose devices share each batch.
    """

    def __init__(self, batches: Loader, judge: Judge, runtime: Runtime) -> None:
        self._loader, self._runtime = batches, runtime
        self._resident = runtime.replicate(batches.resident)
        split = NamedSharding(runtime.mesh(), P(AXIS))

        @eqx.filter_jit
        def run(
            model: eqx.Module, state: eqx.nn.State, resident: PyTree, handle: PyTree
        ) -> tuple[Array, Array, Array]:
            batch = batches.fetch(resident, handle)
            batch = jax.lax.with_sharding_constraint(batch, split)
            return judge(model, state, batch), batch.label, batch.index

        self._run = run

    def on(self, split: Split) -> "Evaluator":
        """The same for another split, placed as the first one is: not compiled again unless the
        shape of its images, or their number, is new."""
        other = copy.copy(self)
        other._loader = loader(split, self._loader.batch_size, seed=0, shuffle=False)
        other._resident = self._runtime.replicate(other._loader.resident)
        return other

    def __call__(self, model: eqx.Module, model_state: eqx.nn.State) -> Evaluation:
        """Every example of the split, in its order.

        **Raises:** `CnnlabError` where a probability is not a number.
        """
        arrays, static = eqx.partition((model, model_state), eqx.is_array)
        model, model_state = eqx.combine(self._runtime.replicate(arrays), static)
        handles, resident = self._loader.handles(), self._resident
        outputs = [self._run(model, model_state, resident, handle) for handle in handles]
        columns = [np.concatenate(column) for column in zip(*jax.device_get(outputs), strict=True)]
        probabilities, label, index = columns
        real = index >= 0
        lost = int((~np.isfinite(probabilities[real]).all(-1)).sum())
        if lost:
            raise CnnlabError(
                f"the network's probabilities are not numbers for {lost} of {real.sum()} examples: "
                f"its weights, or the examples, are too large or not numbers"
            )
        return Evaluation(probabilities[real], label[real])
