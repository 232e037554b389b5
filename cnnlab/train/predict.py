"""A trained model that answers for single examples, without its data set."""

import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from cnnlab.data import Dataset
from cnnlab.data.augment import normalise
from cnnlab.data.batches import Batch
from cnnlab.data.picture import Form
from cnnlab.data.splits import as_raw
from cnnlab.display import View, shown
from cnnlab.errors import CnnlabError
from cnnlab.files import JsonObject
from cnnlab.models import described, export
from cnnlab.train.arrays import CheckpointError
from cnnlab.train.step import make_judge, scores
from cnnlab.train.tasks import Task, make_task


def describe(data: Dataset) -> JsonObject:
    """What a prediction needs to know of a data set, as JSON; every checkpoint holds it."""
    # Runs made before there were other tasks say nothing of theirs.
    about = {} if data.task == "classification" else {"task": data.task}
    if data.vocabulary is not None:
        about |= {"vocabulary": data.vocabulary}
    if data.label_mean is not None and data.label_std is not None:
        about |= {"label_mean": data.label_mean.tolist(), "label_std": data.label_std.tolist()}
    return {
        **about,
        "name": data.name,
        "input_shape": list(data.input_shape),
        "class_names": list(data.class_names),
        "mean": np.asarray(data.mean).tolist(),
        "std": np.asarray(data.std).tolist(),
        "high": data.high,
        "fit": data.fit,
        "light_borders": data.light_borders,
        "fingerprint": data.fingerprint,
    }


def check_examples(known: JsonObject, data: Dataset, *, resized: bool = False) -> None:
    """Raises `CheckpointError` unless a data set is the one that `describe` described, as far as
    that tells; `resized`, at another size."""
    now = describe(data)
    compared = {"name", "class_names"} if resized else now.keys()
    for key in known.keys() & compared:
        same = _close if key.removeprefix("label_") in ("mean", "std") else operator.eq
        if not same(known[key], now[key]):
            raise CheckpointError(
                f"trained on other examples than {data.name} holds now ({data.origin})"
            )


def _close(known: Any, now: list[float]) -> bool:
    """Sums of floats may differ in their last digits elsewhere."""
    numbers = isinstance(known, list) and all(isinstance(x, int | float) for x in known)
    return numbers and len(known) == len(now) and np.allclose(known, now, rtol=1e-4, atol=1e-6)


def form_of(about: JsonObject) -> Form:
    """What pictures must become, of what `describe` said; older runs say less."""
    known = {key: about[key] for key in ("high", "fit", "light_borders") if key in about}
    return Form(shape=tuple(about["input_shape"]), **known)


def described_task(about: JsonObject) -> Task:
    """The task of what `describe` said."""
    numbers = about.get("label_mean"), about.get("label_std")
    return make_task(about.get("task", "classification"), about["class_names"], *numbers)


@shown
class Prediction(list[tuple[str, float]]):
    """An answer by name, what matters most first: of a task, names with their numbers."""

    def __init__(self, found: Iterable[tuple[str, float]], task: Task) -> None:
        super().__init__(found)
        self._task = task

    def view(self) -> View:
        return View(notes=[self._task.line(name, number) for name, number in self])


@shown
class Predictor:
    """`config.load_predictor(run)`, or `Experiment.predictor()`, makes one.

    **Arguments:** `data`, what `describe` said; `input_shape`, where not that of its examples.

    **Attributes:** `input_shape` `(*spatial, c)`, or `(n,)` of tokens, of which there
    are `vocabulary`; `task`, `class_names`, `mean` and `std` `(c,)` of
    the training examples, which are subtracted and divided by; `form`, what pictures must become.
    """

    def __init__(
        self,
        model: eqx.Module,
        model_state: eqx.nn.State,
        data: JsonObject,
        *,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.form = form_of(data)
        self.input_shape = input_shape or self.form.shape
        self.vocabulary = data.get("vocabulary")
        self.task = described_task(data)
        self.class_names = self.task.names
        self.mean, self.std = (np.asarray(data[k], np.float32) for k in ("mean", "std"))
        judge = make_judge(mean=self.mean, std=self.std, task=self.task)

        @eqx.filter_jit
        def run(model: Any, state: Any, batch: Batch) -> Any:
            return judge(model, state, batch)

        self._run, self._model, self._state = run, model, model_state

    def view(self) -> View:
        facts = {
            "network": described(self._model),
            "examples": f"of shape {self.input_shape}",
            "answers": f"{self.task.name}: {', '.join(self.class_names)}",
        }
        return View.of("predictor", facts)

    def __call__(self, example: Shaped[Array | np.ndarray, "..."]) -> Float[np.ndarray, "... k"]:
        """The answer for one raw example of shape `input_shape`: the probability of each class or
        label, or the numbers; where the task is about positions, at each.

        **Raises:** `ValueError` for another shape, and for what is no number; `CnnlabError` where
        the answer is not numbers.
        """
        example = np.asarray(example)
        if self.vocabulary is None or example.dtype.kind not in "iu":
            example = as_raw(example)
        if example.shape != self.input_shape:
            raise ValueError(
                f"example: expected shape {self.input_shape}, got {tuple(example.shape)}"
            )
        most = np.inf if self.vocabulary is None else self.vocabulary - 1
        if self.vocabulary is not None and not ((example >= 0) & (example <= most)).all():
            raise ValueError(f"example: expected tokens from 0 to {self.vocabulary - 1}")
        batch = Batch(jnp.asarray(example)[None], jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32))
        answer = np.asarray(self._run(self._model, self._state, batch)[0])
        if not np.isfinite(answer).all():
            raise CnnlabError("the network's answers for this example are not numbers")
        return answer

    def export(self, path: str | Path) -> None:
        """Write the answers for raw examples as StableHLO (`cnnlab.export`)."""
        model = eqx.nn.inference_mode(self._model)

        def answers(x: Shaped[Array, "n *shape"]) -> Float[Array, "n ..."]:
            logits, _ = scores(model, normalise(x, self.mean, self.std), self._state)
            return self.task.answer(logits)

        dtype = jnp.float32 if self.vocabulary is None else jnp.int32
        export(answers, self.input_shape, path, dtype=dtype)

    def top(self, example: Shaped[Array | np.ndarray, "..."], count: int = 3) -> Prediction:
        """The answer by name: the `count` most probable classes with their probabilities; so many
        labels, and all that are predicted; the classes with the largest shares of the positions;
        all the numbers."""
        if count < 1:
            raise ValueError(f"top: expected a number of classes >= 1, got {count}")
        return Prediction(self.task.top(self(example), count), self.task)
