"""What happens between the steps of a run.

It logs, evaluates, writes checkpoints, stops early, and stops at once on a loss that is not finite
or on an interrupt. All that it remembers is in `Position`, which every checkpoint holds, so that a
resumed run repeats an uninterrupted one bit for bit.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import equinox as eqx
import jax

from cnnlab.console import Bar
from cnnlab.errors import Interrupted
from cnnlab.train.checkpoint import Checkpoints
from cnnlab.train.evaluate import Evaluation
from cnnlab.train.interrupt import Interrupt, Vote
from cnnlab.train.metrics import Loggers, Record
from cnnlab.train.parallel import Runtime
from cnnlab.train.position import Position
from cnnlab.train.scores import Metric, scored, shown
from cnnlab.train.settings import Settings
from cnnlab.train.step import Metrics
from cnnlab.train.training import Callback, NonFiniteLoss, Training


class _Clock:
    """Seconds of training, and steps a second; what is paused counts for the first only."""

    def __init__(self, step: int) -> None:
        now = time.perf_counter()
        self._counted, self._rated = now, (step, now)
        self._paused = 0.0

    def seconds(self) -> float:
        """Since the last call."""
        before, self._counted = self._counted, time.perf_counter()
        return self._counted - before

    def rate(self, step: int) -> float:
        """Steps a second since the last call, up to number `step`."""
        (begun, before), now = self._rated, time.perf_counter()
        rate = (step - begun) / (now - before - self._paused)
        self._rated, self._paused = (step, now), 0.0
        return rate

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._paused += time.perf_counter() - start


@dataclasses.dataclass
class Loop:
    """One run of training.

    - `training`: its steps; those up to number `settings.steps` are made.
    - `position`: where it stands, which is kept up to date.
    - `checkpoints`: where the state is kept.
    - `validate`: `(model, model_state) -> Evaluation`, or `None` without a validation split.
    - `metrics`: what is measured there, by name; the first tells which network is the best.
    - `callbacks`: called after each step, before what is due is done.
    - `runtime`: whose processes stop together; None: this one alone.
    """

    training: Training
    position: Position
    settings: Settings
    loggers: Loggers
    progress: Bar
    checkpoints: Checkpoints
    validate: Callable[[eqx.Module, eqx.nn.State], Evaluation] | None = None
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    callbacks: Sequence[Callback] = ()
    runtime: Runtime | None = None
    _pending: list[Metrics] = dataclasses.field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._clock = _Clock(self.training.step)

    def run(self) -> None:
        """Train to the end.

        **Raises:** `NonFiniteLoss` (the last good checkpoint is kept), `Interrupted` (after
        writing a checkpoint).
        """
        with Interrupt() as interrupt, self.progress:
            self.progress.start(self.training.step, self.settings.steps, "compiling")
            vote = Vote(self.runtime)
            if not self.position.stopped_early:
                stop = lambda: vote.after_step(interrupt.asked)
                after = lambda training: self._after(training.step, stop=stop())
                self.training.upto(self.settings.steps, [*self.callbacks, after])
            if vote.at_end(interrupt.asked):  # since the last step was looked after
                raise self._interrupted()
        self.position.seconds += self._clock.seconds()

    def _after(self, step: int, *, stop: bool) -> bool:
        """What is due after step number `step` (counted from 1); whether it was the last one."""
        self._pending.append(self.training.metrics)
        last = step == self.settings.steps
        if last or _due(step, self.settings.log_every):
            self._log(step)
        evaluate = self.validate is not None and (last or _due(step, self.settings.evaluate_every))
        save = last or stop or _due(step, self.settings.checkpoint_every)
        if evaluate or save:
            self._collect(step)  # waits for steps that still run: their time is no pause
        with self._clock.paused():
            if evaluate:
                self._evaluate(step)
                last = last or self.position.stopped_early
            if save or last:
                self._save()
        if stop:
            raise self._interrupted()
        return last

    def _interrupted(self) -> Interrupted:
        where = f"stopped at step {self.training.step} of {self.settings.steps}"
        return Interrupted(f"{where}; the same command goes on from there")

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
        rate = self.settings.batch_size * self._clock.rate(step)
        about = {"step": step, "kind": "train"}
        self._record({**about, **mean, "images_per_second": round(rate, 1)})
        means = {name: mean[name] for name in ("loss", "accuracy") if name in mean}
        self.progress.update(step, f"{shown(means)}  {rate:,.0f} images/s")

    def _record(self, record: Record) -> None:
        self.loggers.log(record)
        self.position.records += 1

    def _evaluate(self, step: int) -> None:
        assert self.validate is not None
        state = self.training.state()
        scores = scored(self.validate(*state.averaged()), self.metrics)
        self._record({"step": step, "kind": "val", **scores})
        self.progress.keep(step, f"validation {shown(scores)}")
        p = self.position
        name, judge = next(iter(self.metrics.items()))
        score = scores.get(name)  # None where it does not exist
        if score is not None and (not p.best_step or judge.better(score, p.best)):
            p.best, p.best_step, p.waited = score, step, 0
            self.checkpoints.save_best(state, dataclasses.asdict(p))
        else:
            p.waited += 1
            p.stopped_early = (
                self.settings.patience is not None and p.waited >= self.settings.patience
            )

    def _save(self) -> None:
        self.position.seconds += self._clock.seconds()
        self.checkpoints.save(self.training.state(), dataclasses.asdict(self.position))


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
