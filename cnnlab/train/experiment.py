"""One experiment: everything that a run needs, built, and the run itself."""

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax
import optax
from jaxtyping import PRNGKeyArray

from cnnlab.console import Bar
from cnnlab.data import Dataset, Split, loader
from cnnlab.data.loaders import Loader
from cnnlab.display import View, shown
from cnnlab.errors import Interrupted
from cnnlab.files import JsonObject
from cnnlab.models import count_parameters, described
from cnnlab.train import report
from cnnlab.train.arrays import evaluated_arrays, with_model_arrays
from cnnlab.train.checkpoint import (
    Checkpoints,
    check_run,
    checkpoint_path,
    of_file,
    read,
    say_older,
)
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.loop import Loop
from cnnlab.train.losses import Loss
from cnnlab.train.metrics import JsonLines, Logger, Loggers
from cnnlab.train.parallel import Runtime
from cnnlab.train.place import Place, check_unchanged
from cnnlab.train.position import Position, newest
from cnnlab.train.predict import Predictor, check_examples, describe
from cnnlab.train.profile import Profile
from cnnlab.train.result import Result, circumstances
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.scores import Metric, scored
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
        batches = loader(split, size, seed=0, shuffle=False)
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
        if self.directory.complete() and not self.settings.force:
            return Result.read(self.directory, self.judge)
        with self.directory.lock() as claim, self.directory.saying_how_to_go_on():
            if self.directory.complete() and not self.settings.force:  # since it was looked at
                return Result.read(self.directory, self.judge)
            self.directory.begin(self.config_yaml, force=self.settings.force)
            checkpoints = Checkpoints(
                self.directory.checkpoints, self.config, describe(self.data),
                run=self.directory.path.name, before=claim.check,
            )  # fmt: skip
            state, position = newest(checkpoints, self.initial_state(), self.settings.steps)
            step = int(state.step)
            lines = JsonLines(self.directory.metrics, upto=step, records=position.records)
            loggers = Loggers(lines, self.loggers)
            with contextlib.closing(loggers):
                loggers.start(self.directory.path, self.config, step)
                state = self._train(state, position, checkpoints, loggers)
                return self._finish(state, position, loggers)

    def _train(
        self, state: TrainState, position: Position, checkpoints: Checkpoints, loggers: Loggers
    ) -> TrainState:
        profile = Profile(self.directory.profile, self.settings.profile)
        try:
            with self.trainer(once=True).start(state, self.train_loader) as training:
                Loop(
                    training,
                    position,
                    settings=self.settings,
                    loggers=loggers,
                    progress=Bar(show=self.settings.progress, unit="step"),
                    checkpoints=checkpoints,
                    validate=self.evaluator(self.data.val) if len(self.data.val) else None,
                    metrics=self.metrics,
                    callbacks=[profile],
                ).run()
                return training.state()
        except Interrupted as stop:
            raise Interrupted(f"{self.directory.path}: {stop}") from None
        finally:
            profile.close()

    def _finish(self, state: TrainState, position: Position, loggers: Loggers) -> Result:
        model, model_state = state.averaged()
        steps = tested = int(state.step)
        if self.settings.select == "best" and position.best_step:
            model, model_state, tested = self.trained("best")
        views, started = self.settings.tta, time.perf_counter()
        plain = self.evaluator(self.data.test)(model, model_state)
        test = plain
        if views != "none":
            test = self.evaluator(self.data.test, views)(model, model_state)
        scores = scored(test, self.metrics)
        single = {self.judge: self.metrics[self.judge]}
        result = {
            **self._result(scores, position, steps),
            f"test_{self.judge}_single_view": scored(plain, single).get(self.judge),
            "test_seconds": round(time.perf_counter() - started, 2),
            "tested_step": tested,
        }
        directory = self.directory
        report.curves(directory.metrics, directory.curves, self.judge)
        picture = report.picture(test, directory.figures)
        loggers.finish({"step": steps, "kind": "test", **scores}, [directory.curves, picture])
        directory.write_result(result)
        return Result(result, directory)

    def _result(self, scores: Mapping[str, float], position: Position, steps: int) -> JsonObject:
        return {
            "name": self.settings.name,
            "data": self.data.name,
            "seed": self.settings.seed,
            **{f"test_{name}": scores.get(name) for name in (*self.metrics, "loss")},
            "test_examples": len(self.data.test),
            f"best_validation_{self.judge}": position.best if position.best_step else None,
            "parameters": count_parameters(self.model),
            "steps": steps,
            "train_seconds": round(position.seconds, 2),
            "stopped_early": position.stopped_early,
            **circumstances(self.runtime),
        }
