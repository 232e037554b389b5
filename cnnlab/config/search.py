"""A sweep that searches: `hydra/sweeper=optuna`, by Optuna.

The search is kept in the sweep's folder, so the same command goes on with it after whatever end,
and several may be given it at once: a trial is claimed, and one whose owner died is taken up.
"""

import contextlib
import math
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from cnnlab.claims import Claim, Held
from cnnlab.config.job import Job, Outcome, say
from cnnlab.config.messages import show
from cnnlab.config.overrides import quoted
from cnnlab.errors import ConfigError

SAMPLERS = ("tpe", "random", "grid")
DIRECTIONS = ("maximize", "minimize")
TRIAL = "cnnlab.train.trial.Trial"
_PAUSE = 1.0  # seconds between two looks at what others are at


class Optuna(Sweeper):
    """Proposes settings, `n_jobs` at a time, until there are `n_trials`.

    **Arguments:** those of its config.
    """

    package, extra = "optuna", "sweeps"

    def __init__(
        self,
        *,
        n_trials: int,
        n_jobs: int,
        direction: Literal["maximize", "minimize"],
        sampler: str,
        pruner: str,
        seed: int,
        params: Mapping[str, object] | None = None,
    ) -> None:
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed
        self.direction, self.sampler, self.pruner = direction, sampler, pruner
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        assert isinstance(task_function, Job)
        self.context, self.task = hydra_context, task_function
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search to the end."""
        import optuna

        from cnnlab.train.trial import open_study

        assert self.task.jobs is not None
        folder = self.task.jobs.folder
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        given = [f"{key}={value}" for key, value in self.params.items()]
        fixed, self.space = space_of(parser.parse_overrides([*given, *arguments]))
        n_trials = self.n_trials
        if self.sampler == "grid":
            n_trials = min(n_trials, math.prod(len(values) for values in self._grid().values()))
        self.study = open_study(folder, pruner=self.pruner, direction=self.direction)
        self.died: set[int] = set()
        while True:
            with contextlib.ExitStack() as claims:
                trials = self._claimed(folder / "trials", n_trials, claims)
                jobs = [[*fixed, *self._lines(folder, trial)] for trial in trials]
                if jobs:
                    self.launcher.launch(jobs, initial_job_idx=trials[0].number)
                self.study.sampler = optuna.samplers.RandomSampler()  # a grid's would stop it
                outcomes = self.task.jobs.all(jobs)
                for trial, outcome in zip(trials, outcomes, strict=True):
                    self._tell(trial, outcome)
            if not trials and not self._running():
                break
            held = [Claim(Path(str(o.run))) for o in outcomes if o.state == "held"]
            while held and not any(run.free() for run in held):
                time.sleep(_PAUSE)
            if not trials:
                time.sleep(_PAUSE)  # others are at the last ones, and may die
        self._say_best()

    def _running(self) -> list[Any]:
        """To wait for or to take up: not those whose process died, which might do so again."""
        every = self.study.get_trials(deepcopy=False)
        return [t for t in every if not t.state.is_finished() and t.number not in self.died]

    def _claimed(self, folder: Path, n_trials: int, claims: contextlib.ExitStack) -> list[Any]:
        """Trials to run now: those whose owner died, then new ones, each claimed."""
        import optuna

        trials = []
        with _alone(folder):
            for known in self._running():
                if len(trials) < self.n_jobs and _taken(folder / str(known.number), claims):
                    self.study.sampler = self._sampler(known.number)
                    trial = optuna.trial.Trial(self.study, known._trial_id)
                    for key, distribution in self.space.items():
                        trial._suggest(key, distribution)  # what it has not yet
                    trials.append(trial)
            while len(trials) < self.n_jobs:
                number = len(self.study.get_trials(deepcopy=False))
                if number >= n_trials:
                    break
                self.study.sampler = self._sampler(number)
                trial = self.study.ask(self.space)
                assert _taken(folder / str(trial.number), claims)
                trials.append(trial)
        return trials

    def _sampler(self, number: int) -> Any:
        """Of one trial: what it proposes depends on its number and the trials before, not on how
        often the search was interrupted."""
        import optuna

        seed = zlib.crc32(f"{self.seed} {number}".encode())
        if self.sampler == "grid":
            return optuna.samplers.GridSampler(self._grid(), seed=self.seed)
        if self.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, constant_liar=self.n_jobs > 1)

    def _grid(self) -> dict[str, list[Any]]:
        return {key: values_of(key, distribution) for key, distribution in self.space.items()}

    def _lines(self, folder: Path, trial: Any) -> list[str]:
        about = f"folder:{quoted(str(folder))},number:{trial.number},pruner:{self.pruner}"
        values = [f"{key}={value}" for key, value in trial.params.items()]
        return [*values, f"+logger.trial={{_target_:{TRIAL},{about}}}"]

    def _tell(self, trial: Any, outcome: Outcome) -> None:
        """Tell the study what a trial came to, and the user what the job could not."""
        from optuna.trial import TrialState

        assert self.task.jobs is not None
        if outcome.state in ("stopped", "held"):
            return  # it goes on later
        if outcome.state == "done" and outcome.objective is not None:
            self.study.tell(trial, outcome.objective)
        elif outcome.state == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            if outcome.state == "failed" and not self.task.jobs.ended(outcome.overrides):
                self.died.add(trial.number)  # the same command takes it up
            else:
                self.study.tell(trial, state=TrialState.FAIL)
                if outcome.state == "failed":
                    return  # it said so itself
                outcome = replace(outcome, state="failed", message="no score in validation")
            say(f"error: trial {trial.number} ({_said(trial)}): {outcome.message}")
            self.task.jobs.write(outcome)

    def _say_best(self) -> None:
        done = [t for t in self.study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
        if done:
            best, number = self.study.best_trial, len(self.study.trials)
            print(f"best of {number} trials: trial {best.number} ({_said(best)}): {best.value:.6g}")


def _said(trial: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in trial.params.items())


def check_search(sweeper: Mapping[str, Any], overrides: Sequence[Override]) -> None:
    """Refuse what can't be searched, before the first trial.

    **Raises:** `ConfigError`.
    """
    from cnnlab.train.trial import PRUNERS

    words = {"sampler": SAMPLERS, "pruner": PRUNERS, "direction": DIRECTIONS}
    for key, allowed in words.items():
        if sweeper[key] not in allowed:
            raise ConfigError(
                f"hydra.sweeper.{key}: expected one of {', '.join(allowed)}, got "
                f"{show(sweeper[key])}"
            )
    for key in ("n_trials", "n_jobs", "seed"):
        least = int(key != "seed")
        if type(sweeper[key]) is not int or sweeper[key] < least:
            raise ConfigError(
                f"hydra.sweeper.{key}: expected a whole number >= {least}, got {show(sweeper[key])}"
            )
    space = space_of(overrides)[1]
    if not space:
        raise ConfigError("-m: nothing to search; expected key=interval(0,1) or key=choice(a,b)")
    if sweeper["sampler"] == "grid":
        for key, distribution in space.items():
            values_of(key, distribution)


def space_of(overrides: Sequence[Override]) -> tuple[list[str], dict[str, Any]]:
    """What is fixed, as lines, and Optuna's distribution of each key that is searched.

    `choice(a,b)` and `a,b` are categories, `range(1,9,2)` and `int(interval(1,9))` whole numbers,
    `interval(0.1,1)` numbers, `tag(log,interval(1e-4,1))` on a logarithmic scale.

    **Raises:** `ConfigError`.
    """
    latest = {override.get_key_element(): override for override in overrides}
    fixed, space = [], {}
    for key, override in latest.items():
        if override.is_sweep_override():
            space[key] = _distribution(key, override)
        else:
            fixed.append(f"{key}={override.get_value_element_as_str()}")
    return fixed, space


def _distribution(key: str, override: Override) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    value: Any = override.value()
    text = override.get_value_string()
    log = "log" in value.tags
    if value.tags - {"log"}:
        raise ConfigError(f"{key}: expected no tag but log, got {text}")
    if isinstance(value, ChoiceSweep):
        if log:
            raise ConfigError(f"{key}: expected an interval or a range on a log scale, got {text}")
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    low, high, step = _bounds(value)
    whole = all(type(number) is int for number in (low, high, step or 1))
    if high < low or (step or 1) <= 0 or (log and (low <= 0 or step not in (None, 1))):
        scale = " on a log scale: above 0, without a step" if log else ""
        raise ConfigError(f"{key}: expected numbers that rise{scale}, got {text}")
    if whole:
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(float(low), float(high), log=log, step=step)


def _bounds(value: Any) -> tuple[Any, Any, Any]:
    """The first and the last number, and the step, if there is one."""
    if isinstance(value, IntervalSweep):
        return value.start, value.end, None
    low, step = value.start, value.step
    return low, low + (math.ceil((value.stop - low) / step) - 1) * step, step


def values_of(key: str, distribution: Any) -> list[Any]:
    """All values of a distribution, where there are so few.

    **Raises:** `ConfigError`: there are none between any two numbers, or they are not all.
    """
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return list(choices)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None or distribution.log:
        raise ConfigError(f"{key}: sampler=grid takes choices and ranges, not an interval")
    return [low + i * step for i in range(round((high - low) / step) + 1)]


def _taken(folder: Path, claims: contextlib.ExitStack) -> bool:
    """Whether a folder could be claimed, until the end of `claims`."""
    folder.mkdir(exist_ok=True)
    claim = Claim(folder)
    try:
        claim.take()
    except Held:
        return False
    claims.callback(claim.release)
    return True


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time."""
    with contextlib.ExitStack() as claims:
        while not _taken(folder, claims):
            time.sleep(_PAUSE / 10)
        yield
