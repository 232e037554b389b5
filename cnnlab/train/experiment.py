"""One experiment: everything that a run needs, built, and the run itself."""

import dataclasses
import resource
import sys
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from cnnlab.data import Dataset, Split, loader
from cnnlab.data.batches import DeviceLoader
from cnnlab.errors import Interrupted
from cnnlab.models import with_arrays
from cnnlab.train import report
from cnnlab.train.checkpoint import (
    CheckpointError,
    Checkpoints,
    checkpoint_path,
    evaluated_arrays,
    read,
    versions,
)
from cnnlab.train.effects import remarks
from cnnlab.train.evaluate import Evaluation, Evaluator
from cnnlab.train.loop import Loop, Plan, Position
from cnnlab.train.metrics import JsonLines, Logger, Loggers
from cnnlab.train.parallel import Runtime
from cnnlab.train.predict import describe, same_examples
from cnnlab.train.profile import Profile
from cnnlab.train.progress import Progress
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.state import TrainState, init_state
from cnnlab.train.step import Prepare, make_judge, make_train_step


@dataclasses.dataclass
class Experiment:
    """A model, its data and how to train it; `cnnlab.build(cfg)` makes one.

    - `config`: the resolved config, `config_yaml` the same as text.
    - `model`, `model_state`: the network before training (`eqx.nn.make_with_state`).
    - `plan`: lengths in steps.
    - `prepare`: raw batch -> normalised, augmented batch with soft targets.
    - `train_loader`: its batches (`data.loader`); `loggers`: the trackers beside `metrics.jsonl`.
    """

    config: dict[str, Any]
    config_yaml: str
    directory: RunDirectory
    data: Dataset
    model: eqx.Module
    model_state: eqx.nn.State
    runtime: Runtime
    optimizer: optax.GradientTransformation
    plan: Plan
    prepare: Prepare
    train_loader: Any
    loggers: list[Logger]
    key: PRNGKeyArray

    @property
    def compute_dtype(self) -> jnp.dtype:
        """The dtype of activations: parameters are float32."""
        return jnp.dtype(self.config["precision"])

    def initial_state(self) -> TrainState:
        """The state before step 0."""
        return init_state(
            self.model,
            self.model_state,
            self.optimizer,
            average=self.config["average"] is not None,
            key=self.key,
        )

    def remarks(self) -> list[str]:
        """What the config asks for that this run will not do, each in a line."""
        resident = isinstance(self.train_loader, DeviceLoader)
        workers = self.data.train.workers
        return remarks(self.config, self.plan, resident=resident, workers=workers)

    def evaluator(self, split: Split, views: str = "none") -> Evaluator:
        """`(model, model_state) -> Evaluation` on a split, with test-time `views`."""
        devices = len(self.runtime.devices)
        size = -(-self.config["eval_batch_size"] // devices) * devices  # a multiple, rounded up
        batches = loader(split, size, seed=0, shuffle=False)
        judge = make_judge(
            mean=self.data.mean, std=self.data.std, views=views, compute_dtype=self.compute_dtype
        )
        return Evaluator(batches, judge, self.runtime)

    def trained(self, checkpoint: str = "last") -> tuple[eqx.Module, eqx.nn.State, int]:
        """The model of a checkpoint (the moving average where there is one), its state, its step.

        **Arguments:** `checkpoint`: `last`, `best`, or a file's path.

        **Raises:** `CheckpointError` when there is none, it is damaged, or what it was trained on
        is not what the data set holds now.
        """
        path = checkpoint_path(self.directory.path, checkpoint)
        arrays, header = read(path)
        if not same_examples(header["data"], self.data):
            raise CheckpointError(
                f"{path}: trained on other examples than {self.data.name} holds now "
                f"({self.data.origin})"
            )
        model, model_state = with_arrays(self.model, self.model_state, evaluated_arrays(arrays))
        return model, model_state, int(arrays["step"])

    def run(self) -> dict[str, Any]:
        """Train to the end (from the newest checkpoint, if there is one), test, and report.

        **Returns:** what `result.json` holds. A complete run is not run again: its result is
        returned, unless the config says `force`.

        **Raises:** `CnnlabError`: the loss is not finite, an interrupt, a damaged directory.
        """
        if self.directory.complete() and not self.config["force"]:
            return self.directory.read_result()
        with self.directory.lock():
            self.directory.begin(self.config_yaml, force=self.config["force"])
            state, position = self._train()
            return self._finish(state, position)

    def _train(self) -> tuple[TrainState, Position]:
        about = describe(self.data)
        checkpoints = Checkpoints(self.directory.checkpoints, self.config, about)
        state, position = self.initial_state(), Position()
        restored = checkpoints.restore(state)
        if restored is not None:
            state, saved, refused = restored
            position = Position(**saved)
            for message in refused:
                print(f"warning: {message}; using the one before", file=sys.stderr)
            print(f"resuming at step {int(state.step)} of {self.plan.steps}", file=sys.stderr)
        for logger in self.loggers:
            logger.start(self.directory.path, self.config)
        loggers = Loggers(JsonLines(self.directory.metrics, upto=int(state.step)), self.loggers)
        profile = Profile(self.directory.profile, self.config["profile"])
        average = self.config["average"]
        loop = Loop(
            plan=self.plan,
            runtime=self.runtime,
            loader=self.train_loader,
            step=make_train_step(
                self.optimizer, compute_dtype=self.compute_dtype, average_decay=average
            ),
            prepare=self.prepare,
            loggers=loggers,
            progress=Progress(self.config["progress"]),
            checkpoints=checkpoints,
            validate=self.evaluator(self.data.val) if len(self.data.val) else None,
            on_step=profile,
        )
        try:
            return loop.run(state, position)
        except Interrupted as stop:
            raise Interrupted(f"{self.directory.path}: {stop}") from None
        finally:
            profile.close()
            loggers.close()

    def _finish(self, state: TrainState, position: Position) -> dict[str, Any]:
        model, model_state = state.averaged()
        steps = tested = int(state.step)
        if self.config["select"] == "best" and position.best_step:
            model, model_state, tested = self.trained("best")
        views = self.config["tta"]
        started = time.perf_counter()
        plain = self.evaluator(self.data.test)(model, model_state)
        test = plain
        if views != "none":
            test = self.evaluator(self.data.test, views)(model, model_state)
        result = {
            **self._result(test, position, steps),
            "test_accuracy_single_view": plain.accuracy,
            "test_seconds": round(time.perf_counter() - started, 2),
            "tested_step": tested,
        }
        report.curves(self.directory.metrics, self.directory.figures / "curves.png")
        report.confusion(test, self.data.class_names, self.directory.figures / "confusion.png")
        self.directory.write_result(result)
        return result

    def _result(self, test: Evaluation, position: Position, steps: int) -> dict[str, Any]:
        params = jax.tree.leaves(eqx.filter(self.model, eqx.is_inexact_array))
        return {
            "name": self.config["name"],
            "data": self.data.name,
            "seed": self.config["seed"],
            "test_accuracy": test.accuracy,
            "test_loss": test.loss,
            "test_examples": len(test.label),
            "best_validation_accuracy": position.best if position.best_step else None,
            "parameters": sum(p.size for p in params),
            "steps": steps,
            "train_seconds": round(position.seconds, 2),
            "peak_memory_mb": round(_peak_memory_mb()),
            "device": f"{len(self.runtime.devices)} x {self.runtime.devices[0].device_kind}",
            "stopped_early": position.stopped_early,
            "versions": versions(),
        }


def _peak_memory_mb() -> float:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
