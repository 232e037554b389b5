"""One experiment: everything that a run needs, built, and the run itself."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax
import optax
from jaxtyping import PRNGKeyArray

from cnnlab.data import Dataset, Split, loader
from cnnlab.data.loaders import Loader
from cnnlab.display import View, shown
from cnnlab.files import JsonObject
from cnnlab.models import described
from cnnlab.train.arrays import evaluated_arrays, with_model_arrays
from cnnlab.train.checkpoint import (
    check_run,
    checkpoint_path,
    of_file,
    read,
    say_older,
)
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.losses import Loss
from cnnlab.train.metrics import Logger
from cnnlab.train.parallel import Runtime
from cnnlab.train.place import Place, check_unchanged
from cnnlab.train.predict import Predictor, check_examples, describe
from cnnlab.train.result import Result
from cnnlab.train.run import Run
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.scores import Metric
from cnnlab.train.settings import Settings
from cnnlab.train.state import TrainState, init_state
from cnnlab.train.step import Prepare, make_judge, make_train_step
from cnnlab.train.tasks import Task
from cnnlab.train.training import Trainer

# Which objects make a result.
_PARTS = (
    *("data", "model", "model_state", "optimizer", "task", "loss", "metrics", "prepare"),
    *("train_loader", "key"),
)


@shown
@dataclasses.dataclass
class Experiment:
    """A model, its data and how to train it; `cnnlab.build(cfg)` makes one.

    - `settings`: how it is trained.
    - `config`: the whole resolved config, to be recorded; `config_yaml` the same as text.
    - `model`, `model_state`: the network before training (`eqx.nn.make_with_state`).
    - `task`: what the labels ask of it; `loss`: `(logits, target) -> losses`, what is minimised.
    - `metrics`: what is measured, by name; the first tells which network is the best.
    - `prepare`: raw batch -> normalised, augmented batch with the task's targets.
    - `train_loader`: its batches (`data.loader`); `loggers`: the trackers beside `metrics.jsonl`.
    - `place`: where the run of these parts is, a path that becomes a `Place`: with another model,
      say, `directory` is another.
    - `given`: what was given in place of what the config describes, with what stands for its
      content.
    - `remarks`: what the config asks for that this run will not do, each in a line.
    - `resized`: whether a trained model is evaluated on images of another size than it was
      trained on.
    """

    settings: Settings
    config: JsonObject
    config_yaml: str
    place: Path | Place
    data: Dataset
    model: eqx.Module
    model_state: eqx.nn.State
    runtime: Runtime
    optimizer: optax.GradientTransformation
    task: Task
    loss: Loss
    metrics: Mapping[str, Metric]
    prepare: Prepare
    train_loader: Loader
    loggers: list[Logger]
    key: PRNGKeyArray
    given: Mapping[str, tuple[object, str]] = dataclasses.field(default_factory=dict)
    remarks: Sequence[str] = ()
    resized: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.place, Path):
            self.place = Place(self.place, self._parts())

    def _parts(self) -> dict[str, object]:
        """All that makes the result."""
        return {
            "settings": self.settings.that_count(),
            "runtime": (type(self.runtime).__name__, len(self.runtime.devices)),
            **{name: getattr(self, name) for name in _PARTS},
        }

    @property
    def directory(self) -> RunDirectory:
        """Where the run is: another one where a part was replaced by another.

        **Raises:** `ConfigError` where such a part has no content that can be read.
        """
        assert isinstance(self.place, Place)  # since it was made
        return self.place.of(self._parts())

    def view(self) -> View:
        directory, data, settings = self.directory, self.data, self.settings
        facts = {
            "data": f"{data.name}: {len(data.train):,} examples of shape {data.input_shape}",
            "network": described(self.model),
            "run": f"{directory.path}: {directory.stage()}",
        }
        title = f"{settings.name}, {settings.steps:,} steps"
        return View.of(title, facts, picture=directory.curves)

    @property
    def judge(self) -> str:
        """The metric that tells which network is the best."""
        return next(iter(self.metrics))

    def initial_state(self) -> TrainState:
        """The state before step 0."""
        return init_state(
            self.model,
            self.model_state,
            self.optimizer,
            average=self.settings.average is not None,
            key=self.key,
        )

    def trainer(self, *, once: bool = False) -> Trainer:
        """What trains from any state of this model; `once`: to trace its step again is an error."""
        step = make_train_step(
            self.optimizer,
            loss=self.loss,
            task=self.task,
            compute_dtype=self.settings.compute_dtype,
            average_decay=self.settings.average,
        )
        # Without jit every step is a trace.
        if once and not jax.config.values["jax_disable_jit"]:
            step = eqx.debug.assert_max_traces(step, max_traces=1)
        return Trainer(step, self.prepare, self.runtime)

    def evaluator(self, split: Split, views: str = "none") -> Evaluator:
        """`(model, model_state) -> Evaluation` on a split, with test-time `views`."""
        devices = len(self.runtime.devices)
        # What is more than the split would be padding.
        most = max(min(self.settings.eval_batch_size, len(split)), 1)
        size = -(-most // devices) * devices  # a multiple, rounded up
        batches = loader(split, size, seed=0, shuffle=False, part=self.runtime.part)
        judge = make_judge(
            mean=self.data.mean,
            std=self.data.std,
            task=self.task,
            views=views,
            compute_dtype=self.settings.compute_dtype,
        )
        return Evaluator(batches, judge, self.runtime, task=self.task, criterion=self.loss)

    def trained(self, checkpoint: str = "last") -> tuple[eqx.Module, eqx.nn.State, int]:
        """The model of a checkpoint (the moving average where there is one), its state, its step.

        **Arguments:** `checkpoint`: `last`, `best`, or a file's path.

        **Raises:** `CheckpointError` when there is none, it is damaged, or what it was trained on
        is not what the data set holds now.
        """
        path = checkpoint_path(self.directory.path, checkpoint)
        arrays, header = read(path)
        with of_file(path):
            check_run(header, self.config)
            check_examples(header["data"], self.data, resized=self.resized)
            unsaid = sorted(describe(self.data).keys() - header["data"].keys())
            if unsaid:
                say_older(path, f"{', '.join(unsaid)} of its examples")
            found = with_model_arrays(self.model, self.model_state, evaluated_arrays(arrays))
        return *found, int(arrays["step"])

    def evaluate(
        self,
        split: Literal["test", "val", "train"] = "test",
        checkpoint: str = "last",
        views: str = "none",
    ) -> Evaluation:
        """What a trained model says of a split, with test-time `views`; as `trained`."""
        model, model_state, _ = self.trained(checkpoint)
        return self.evaluator(getattr(self.data, split), views)(model, model_state)

    def predictor(self, checkpoint: str = "last") -> Predictor:
        """A trained model, to answer for examples or to be exported; as `trained`."""
        model, model_state, _ = self.trained(checkpoint)
        return Predictor(model, model_state, describe(self.data))

    def run(self) -> Result:
        """Train to the end (from the newest checkpoint, if there is one), test, and report.

        **Returns:** what `result.json` holds. A complete run is not run again: its result is
        returned, unless the config says `force`.

        **Raises:** `CnnlabError`: the loss is not finite, an interrupt, a damaged directory, a
        full disk.
        """
        assert isinstance(self.place, Place)
        self.place.forget()
        check_unchanged(self.given)
        return Run(self, self.directory).result()
