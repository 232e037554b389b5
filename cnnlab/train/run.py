"""The run of an experiment: from its newest checkpoint, or from nothing, to its result.

Several processes may make it together. Each of them does all that is computed; the first alone
reads and writes the run directory, and tells the others what it found there.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import equinox as eqx

from cnnlab.console import Bar
from cnnlab.data import Dataset, Split
from cnnlab.data.loaders import Loader
from cnnlab.errors import Interrupted
from cnnlab.files import JsonObject
from cnnlab.models import count_parameters, named_arrays
from cnnlab.train import report
from cnnlab.train.arrays import packed, unpacked, with_model_arrays
from cnnlab.train.checkpoint import Checkpoints
from cnnlab.train.evaluate import Evaluator
from cnnlab.train.loop import Loop
from cnnlab.train.metrics import JsonLines, Logger, Loggers
from cnnlab.train.parallel import Runtime
from cnnlab.train.position import Position, newest_of_first
from cnnlab.train.predict import describe
from cnnlab.train.profile import Profile
from cnnlab.train.result import Result, circumstances
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.scores import Metric, scored
from cnnlab.train.settings import Settings
from cnnlab.train.state import TrainState
from cnnlab.train.training import Trainer


@runtime_checkable
class Lab(Protocol):
    """What a run asks of its experiment."""

    settings: Settings
    config: JsonObject
    config_yaml: str
    data: Dataset
    model: eqx.Module
    model_state: eqx.nn.State
    runtime: Runtime
    metrics: Mapping[str, Metric]
    train_loader: Loader
    loggers: list[Logger]

    @property
    def judge(self) -> str: ...

    def initial_state(self) -> TrainState: ...

    def trainer(self, *, once: bool = False) -> Trainer: ...

    def evaluator(self, split: Split, views: str = "none") -> Evaluator: ...

    def trained(self, checkpoint: str = "last") -> tuple[eqx.Module, eqx.nn.State, int]: ...


class Run:
    """The run of an experiment.

    **Arguments:** `lab`, the experiment; `directory`, where it is.
    """

    def __init__(self, lab: Lab, directory: RunDirectory) -> None:
        self._lab, self._directory = lab, directory
        self._processes = lab.runtime.processes

    def result(self) -> Result:
        """Train to the end, test, and report; of a complete run, unless it is forced, what it gave.

        **Raises:** `CnnlabError`, as `Experiment.run`.
        """
        with self._processes.together():
            known = self._processes.from_first(self._known)
            if known:
                return Result(json.loads(known), self._directory)
            return self._made()

    def _known(self) -> bytes:
        if self._lab.settings.force or not self._directory.complete():
            return b""
        return json.dumps(Result.read(self._directory, self._lab.judge)).encode()

    def _made(self) -> Result:
        lab, directory, settings = self._lab, self._directory, self._lab.settings
        with contextlib.ExitStack() as held:
            claims = []

            def begin() -> bytes:
                claims.append(held.enter_context(directory.lock()))
                held.enter_context(directory.saying_how_to_go_on())
                if not (known := self._known()):  # it may have come since it was looked for
                    directory.begin(lab.config_yaml, force=settings.force)
                return known

            if known := self._processes.from_first(begin):
                return Result(json.loads(known), directory)
            checkpoints = Checkpoints(
                directory.checkpoints,
                lab.config,
                describe(lab.data),
                run=directory.path.name,
                before=claims[0].check if claims else bool,
                writes=self._processes.first,
            )
            state, position = newest_of_first(
                self._processes, checkpoints, lab.initial_state(), settings.steps
            )
            with contextlib.closing(self._loggers(int(state.step), position)) as loggers:
                state = self._train(state, position, checkpoints, loggers)
                return self._finish(state, position, loggers)

    def _loggers(self, step: int, position: Position) -> Loggers:
        if not self._processes.first:
            return Loggers(None, [])
        lines = JsonLines(self._directory.metrics, upto=step, records=position.records)
        loggers = Loggers(lines, self._lab.loggers)
        try:
            loggers.start(self._directory.path, self._lab.config, step)
        except BaseException:
            loggers.close()
            raise
        return loggers

    def _train(
        self, state: TrainState, position: Position, checkpoints: Checkpoints, loggers: Loggers
    ) -> TrainState:
        lab, settings, first = self._lab, self._lab.settings, self._processes.first
        profile = Profile(self._directory.profile, settings.profile if first else None)
        try:
            with lab.trainer(once=True).start(state, lab.train_loader) as training:
                Loop(
                    training,
                    position,
                    settings=settings,
                    loggers=loggers,
                    progress=Bar(show=settings.progress and first, unit="step"),
                    checkpoints=checkpoints,
                    validate=lab.evaluator(lab.data.val) if len(lab.data.val) else None,
                    metrics=lab.metrics,
                    callbacks=[profile],
                    runtime=lab.runtime,
                ).run()
                return training.state()
        except Interrupted as stop:
            raise Interrupted(f"{self._directory.path}: {stop}") from None
        finally:
            profile.close()

    def _finish(self, state: TrainState, position: Position, loggers: Loggers) -> Result:
        lab, settings, directory = self._lab, self._lab.settings, self._directory
        model, model_state = state.averaged()
        steps = tested = int(state.step)
        if settings.select == "best" and position.best_step:
            model, model_state = self._best()
            tested = position.best_step
        started = time.perf_counter()
        test = plain = lab.evaluator(lab.data.test)(model, model_state)
        if settings.tta != "none":
            test = lab.evaluator(lab.data.test, settings.tta)(model, model_state)
        scores = scored(test, lab.metrics)
        single = {lab.judge: lab.metrics[lab.judge]}
        result = {
            **self._result(scores, position, steps),
            f"test_{lab.judge}_single_view": scored(plain, single).get(lab.judge),
            "test_seconds": round(time.perf_counter() - started, 2),
            "tested_step": tested,
        }
        if self._processes.first:
            report.curves(directory.metrics, directory.curves, lab.judge)
            picture = report.picture(test, directory.figures)
            record = {"step": steps, "kind": "test", **scores}
            loggers.finish(record, [directory.curves, picture])
            directory.write_result(result)
        return Result(result, directory)

    def _best(self) -> tuple[eqx.Module, eqx.nn.State]:
        """The model of the best evaluation."""
        lab = self._lab
        if self._processes.count == 1:
            return lab.trained("best")[:2]
        read = lambda: packed(named_arrays(*lab.trained("best")[:2]))
        return with_model_arrays(
            lab.model, lab.model_state, unpacked(self._processes.from_first(read))
        )

    def _result(self, scores: Mapping[str, float], position: Position, steps: int) -> JsonObject:
        lab, settings = self._lab, self._lab.settings
        return {
            "name": settings.name,
            "data": lab.data.name,
            "seed": settings.seed,
            **{f"test_{name}": scores.get(name) for name in (*lab.metrics, "loss")},
            "test_examples": len(lab.data.test),
            f"best_validation_{lab.judge}": position.best if position.best_step else None,
            "parameters": count_parameters(lab.model),
            "steps": steps,
            "train_seconds": round(position.seconds, 2),
            "stopped_early": position.stopped_early,
            **circumstances(lab.runtime),
        }
