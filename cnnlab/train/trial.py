"""A run as a trial of a search by Optuna: its validation scores go there, and it may be ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from cnnlab.errors import CnnlabError, ConfigError, Pruned
from cnnlab.files import JsonObject
from cnnlab.train.experiment import Experiment
from cnnlab.train.metrics import Record, read_lines
from cnnlab.train.scores import METRICS

JOURNAL = "journal.log"
STUDY = "search"
PRUNERS = ("none", "median", "hyperband")


def open_study(
    folder: Path,
    *,
    pruner: str = "none",
    sampler: Any = None,
    direction: Literal["maximize", "minimize"] | None = None,
) -> Any:
    """The search (an `optuna.Study`) that is kept in a file of this folder: a log of JSON lines,
    under a lock that holds on shared file systems.

    **Arguments:** `pruner`, one of `PRUNERS`; `sampler`, of Optuna's; `direction`, to begin it
    where there is none yet.

    **Raises:** `ConfigError` where there is none, and no direction.
    """
    try:
        import optuna
    except ImportError as error:
        raise CnnlabError(
            f"optuna is not installed; get it with: pip install 'cnnlab[sweeps]' ({error})"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = folder / JOURNAL
    if direction is None and not journal.is_file():
        raise ConfigError(f"logger.trial.folder: expected the folder of a search, got {folder}")
    makers: dict[str, Callable[[], Any]] = {
        "none": optuna.pruners.NopPruner,
        "median": lambda: optuna.pruners.MedianPruner(n_warmup_steps=1),
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    sampler = sampler or optuna.samplers.RandomSampler()
    given = {"storage": storage, "sampler": sampler, "pruner": makers[pruner]()}
    if direction is None:
        return optuna.load_study(study_name=STUDY, **given)
    return optuna.create_study(study_name=STUDY, direction=direction, load_if_exists=True, **given)


def check_judge(experiment: Experiment, direction: str) -> None:
    """Refuse to search by runs of an experiment whose score in validation does not exist, or is
    better the other way.

    **Raises:** `ConfigError`.
    """
    data, judge = experiment.data, experiment.judge
    if not len(data.val):
        raise ConfigError(
            "data.val_fraction: expected validation examples, whose best score is what a search "
            f"goes by, got 0 of {data.name}"
        )
    _check_direction(judge, direction, experiment.metrics[judge].larger_is_better)


def _check_direction(name: str, direction: str, larger_is_better: bool) -> None:
    right = "maximize" if larger_is_better else "minimize"
    if direction != right:
        raise ConfigError(
            f"hydra.sweeper.direction: expected {right}, as {name} is what is searched by, got "
            f"{direction}"
        )


class Trial:
    """Reports each evaluation's score, of the metric that chooses the best network, under its
    ordinal number.

    **Arguments:** `folder`, that of the search; `number`, the trial's; `pruner`, one of `PRUNERS`.
    """

    def __init__(self, folder: str, number: int, pruner: str = "none") -> None:
        if pruner not in PRUNERS:
            raise ValueError(f"pruner: expected one of {', '.join(PRUNERS)}, got {pruner!r}")
        self.folder, self.number, self.pruner = folder, number, pruner

    def start(self, folder: Path, config: JsonObject, step: int = 0) -> None:
        study = open_study(Path(self.folder), pruner=self.pruner)
        self._direction, self._metrics = study.direction.name.lower(), config.get("metrics")
        trials = study.get_trials(deepcopy=False)
        if self.number >= len(trials):
            raise ConfigError(f"logger.trial.number: {self.folder} has {len(trials)} trials")
        known = trials[self.number]
        self._known = set(known.intermediate_values)
        self._trial = None
        if not known.state.is_finished():
            from optuna.trial import Trial as Open

            self._trial = Open(study, known._trial_id)
        self._evaluations = sum(r["kind"] == "val" for r in read_lines(folder / "metrics.jsonl"))

    def log(self, record: Record) -> None:
        if record["kind"] != "val" or self._trial is None:
            return
        self._evaluations += 1
        name = self._judge(record)
        _check_direction(
            name, self._direction, name not in METRICS or METRICS[name].larger_is_better
        )
        score = record.get(name)
        if score is None or self._evaluations in self._known:
            return
        self._trial.report(float(score), self._evaluations)
        if self._trial.should_prune():
            raise Pruned(f"pruned at step {record['step']}, with {name} {score:.4f} in validation")

    def _judge(self, record: Record) -> str:
        if self._metrics:
            return self._metrics[0]
        return next((n for n in record if n not in ("step", "kind", "loss")), "loss")

    def picture(self, path: Path, step: int) -> None:
        del path, step

    def close(self) -> None:
        pass
