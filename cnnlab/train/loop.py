"""The training loop: steps, and what happens between them.

Between steps it logs, evaluates, writes checkpoints, stops early, and stops at once on a loss that
is not finite or on an interrupt. All that it remembers is in `Position`, which every checkpoint
holds, so that a resumed run repeats an uninterrupted one bit for bit.
"""

import dataclasses
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from cnnlab.errors import CnnlabError, Interrupted
from cnnlab.train.arrays import CheckpointError
from cnnlab.train.checkpoint import Checkpoints
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.interrupt import Interrupt
from cnnlab.train.metrics import Loggers, Record
from cnnlab.train.parallel import Runtime
from cnnlab.train.progress import Progress
from cnnlab.train.state import TrainState
from cnnlab.train.step import Prepare, Step


class NonFiniteLoss(CnnlabError):
    """The loss became NaN or infinite; the message names the step."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long, and what happens when; durations in steps, `None` for never (but at the end).

    - `patience`: evaluations without a better score before the run stops, or `None`.
    """

    steps: int
    log_every: int | None
    evaluate_every: int | None
    checkpoint_every: int | None
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience: expected evaluations >= 1 or null, got {self.patience}")


@dataclasses.dataclass
class Position:
    """Where the loop stands, as JSON: it goes into every checkpoint.

    - `best`: the best validation accuracy, at step `best_step`.
    - `waited`: evaluations since then.
    - `window`: the metrics of the steps since the last log line.
    - `seconds`: of training so far, in all processes that had a part in the run.
    - `records`: how many were logged; -1 in checkpoints of older versions, which do not say.
    """

    best: float = -1.0
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    window: list[dict[str, float]] = dataclasses.field(default_factory=list)
    records: int = 0

    @classmethod
    def of(cls, saved: dict[str, Any]) -> "Position":
        """From what a checkpoint holds. **Raises:** `CheckpointError` when it is something else."""
        for name, value in saved.items():
            if name not in _KINDS or not _KINDS[name](value):
                raise CheckpointError(f"damaged checkpoint (its loop has {name}={value!r:.80})")
        known: dict[str, Any] = {"records": -1, **saved}
        return cls(**known)


def _number(
    low: int, high: int | float = math.inf, *, whole: bool = False
) -> Callable[[Any], bool]:
    kinds = (int,) if whole else (int, float)
    return lambda value: type(value) in kinds and low <= value <= high


def _is_window(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(step, dict) and all(type(x) in (int, float) for x in step.values())
        for step in value
    )


_KINDS: dict[str, Callable[[Any], bool]] = {
    "best": _number(-1, 1),
    "best_step": _number(0, whole=True),
    "waited": _number(0, whole=True),
    "seconds": _number(0, sys.float_info.max),  # not infinite
    "stopped_early": lambda value: isinstance(value, bool),
    "window": _is_window,
    "records": _number(-1, whole=True),
}


@dataclasses.dataclass
class Loop:
    """One run of training.

    - `loader`: the batches (`data.loader`).
    - `validate`: `(model, model_state) -> Evaluation`, or `None` without a validation split.
    - `checkpoints`: where the state is kept.
    - `on_step`: called with the number and the metrics of each step (the profiler).
    """

    plan: Plan
    runtime: Runtime
    loader: Any
    step: Step
    prepare: Prepare
    loggers: Loggers
    progress: Progress
    checkpoints: Checkpoints
    validate: Callable[[eqx.Module, eqx.nn.State], Evaluation] | None = None
    on_step: Callable[[int, Any], None] | None = None

    def run(self, state: TrainState, position: Position) -> tuple[TrainState, Position]:
        """Train from `state` to the end of the plan.

        **Raises:** `NonFiniteLoss` (the last good checkpoint is kept), `Interrupted` (after
        writing a checkpoint).
        """
        self._like, self.position = state, position
        self._arrays = self.runtime.place(state)
        self._pending: list[Any] = []
        start = int(state.step)
        self._since, self._paused = time.perf_counter(), 0.0
        self._logged = (start, self._since)
        resident = self.runtime.replicate(self.loader.resident)
        # Without jit every step is a trace.
        most = None if jax.config.values["jax_disable_jit"] else 1
        traced_once = eqx.debug.assert_max_traces(self.step, max_traces=most)
        compiled = self.runtime.compile(traced_once, self.prepare, self.loader.fetch, state)
        handles = self.loader.handles(start)
        try:
            with Interrupt() as interrupt, self.progress:
                self.progress.start(start, self.plan.steps)
                for step in range(start + 1, self.plan.steps + 1):
                    if self.position.stopped_early:
                        break
                    self._arrays, metrics = compiled(self._arrays, resident, next(handles))
                    self._pending.append(metrics)
                    if self.on_step is not None:
                        self.on_step(step, metrics)
                    self._after(step, stop=interrupt.asked)
                if interrupt.asked:  # since the last step was looked after
                    raise self._interrupted(int(self._state().step))
        finally:
            handles.close()
        self._clock()
        return self._state(), self.position

    def _after(self, step: int, *, stop: bool) -> None:
        """What is due after step number `step` (counted from 1)."""
        last = step == self.plan.steps
        if last or _due(step, self.plan.log_every):
            self._log(step)
        evaluate = self.validate is not None and (last or _due(step, self.plan.evaluate_every))
        save = last or stop or _due(step, self.plan.checkpoint_every)
        if evaluate or save:
            self._collect(step)  # waits for steps that still run: their time is no pause
        paused = time.perf_counter()
        if evaluate:
            self._evaluate(step)
            last = last or self.position.stopped_early
        if save or last:
            self._save(step)
        self._paused += time.perf_counter() - paused
        if stop:
            raise self._interrupted(step)

    def _interrupted(self, step: int) -> Interrupted:
        where = f"stopped at step {step} of {self.plan.steps}"
        return Interrupted(f"{where}; the same command goes on from there")

    def _state(self) -> TrainState:
        return self.runtime.fetch(self._arrays, self._like)

    def _clock(self) -> None:
        """Add the time since the last call to the run's."""
        now = time.perf_counter()
        self.position.seconds += now - self._since
        self._since = now

    def _collect(self, step: int) -> None:
        """Bring the metrics of the last steps here, and stop if a loss is not finite."""
        first = step - len(self._pending) + 1
        for i, metrics in enumerate(jax.device_get(self._pending)):
            values = {name: float(value) for name, value in metrics.items()}
            # The norm of the parameters is taken after the update: it tells what would be saved.
            for name in ("loss", "param_norm"):
                if not math.isfinite(values[name]):
                    kept = [path.name for path in self.checkpoints.by_step()[:1]] or ["none yet"]
                    what = "loss" if name == "loss" else "norm of the parameters"
                    raise NonFiniteLoss(
                        f"the {what} is {values[name]} at step {first + i}; last good checkpoint: "
                        f"{kept[0]}; try a smaller optimizer.lr or clip_norm=1.0"
                    )
            self.position.window.append(values)
        self._pending = []

    def _log(self, step: int) -> None:
        self._collect(step)
        window, self.position.window = self.position.window, []
        mean = {name: sum(m[name] for m in window) / len(window) for name in window[0]}
        begun, before = self._logged
        now = time.perf_counter()
        rate = (step - begun) * self.loader.batch_size / (now - before - self._paused)
        self._logged, self._paused = (step, now), 0.0
        about = {"step": step, "kind": "train"}
        self._record({**about, **mean, "images_per_second": round(rate, 1)})
        self.progress.update(step, loss=mean["loss"], accuracy=mean["accuracy"], rate=rate)

    def _record(self, record: Record) -> None:
        self.loggers.log(record)
        self.position.records += 1

    def _evaluate(self, step: int) -> None:
        assert self.validate is not None
        state = self._state()
        evaluation = self.validate(*state.averaged())
        score = evaluation.accuracy
        self._record({"step": step, "kind": "val", "loss": evaluation.loss, "accuracy": score})
        self.progress.note(step, evaluation)
        p = self.position
        if score > p.best:
            p.best, p.best_step, p.waited = score, step, 0
            self.checkpoints.save_best(state, dataclasses.asdict(p))
        else:
            p.waited += 1
            p.stopped_early = self.plan.patience is not None and p.waited >= self.plan.patience

    def _save(self, step: int) -> None:
        self._clock()
        self.checkpoints.save(self._state(), dataclasses.asdict(self.position))


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
