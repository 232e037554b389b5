"""Runs beside each other: settings against the mean over seeds, and how far each is from the best.

A difference between two settings is that of pairs of one seed; its interval is for other seeds.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from cnnlab.config import CnnlabError, ConfigError, outcomes_in, read_settings
from cnnlab.display import View, shown
from cnnlab.files import png, write_atomically
from cnnlab.lab.drawing import half_interval
from cnnlab.lab.estimates import Estimate, estimate, paired
from cnnlab.lab.page import grid
from cnnlab.train import RunDirectory
from cnnlab.train.result import Result
from cnnlab.train.scores import METRICS

_SMALLER = ("seconds", "_mb", "parameters", "steps")  # of which less is better
_MOST_DRAWN = 40
_MOST_NAMED = 8
_TARGET = "._target_"
_DATA = f"data{_TARGET}"


@shown
@dataclass(frozen=True)
class Comparison:
    """Some settings, the best first.

    - `metric`: the number of `result.json` that is compared.
    - `scores`: it by setting, and by seed.
    - `unfinished`: how many more runs have no result.
    - `unnamed`: keys in which settings differ that their names leave out.
    - `data`: what they were tested on; of several, scores say nothing about each other.
    """

    metric: str
    scores: Mapping[str, Mapping[int, float]]
    unfinished: int = 0
    unnamed: Sequence[str] = ()
    data: Sequence[str] = ()

    @property
    def best(self) -> str:
        """The setting of the best mean."""
        return next(iter(self.scores))

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The mean of each over its seeds."""
        return {name: estimate(list(of.values())) for name, of in self.scores.items()}

    def behind(self, setting: str) -> Estimate:
        """A setting's score minus the best one's, over the seeds that both have."""
        a, b = self.scores[setting], self.scores[self.best]
        seeds = [seed for seed in a if seed in b]
        return paired([a[s] for s in seeds], [b[s] for s in seeds])

    def rows(self) -> list[list[str | int]]:
        """A table with its header: each setting, its mean, deviation and number of seeds, how far
        it is from the best, and how many more seeds would tell the two apart."""
        header = ["setting", "n", "mean", "deviation", "minus the best", "95 % interval"]
        rows: list[list[str | int]] = [[*header, "seeds more to tell"]]
        for name, e in self.estimates.items():
            row = [name, e.n, f"{e.mean:.4g}", f"{e.deviation:.2g}" if e.n > 1 else "-"]
            if name == self.best or len(self.data) > 1:
                rows.append([*row, "", "", ""])
                continue
            d = self.behind(name)
            known = math.isfinite(d.low + d.high)
            interval = f"{d.low:+.3g} to {d.high:+.3g}" if known else "-"
            rows.append([*row, f"{d.mean:+.3g}" if d.n else "-", interval, _more(d)])
        return rows

    def notes(self) -> list[str]:
        """What has to be known to read the table."""
        notes, others = [f"best: {self.best}"], [name for name in self.scores if name != self.best]
        if len(self.data) > 1:
            notes = [f"{' and '.join(self.data)} are different tasks: no score is the better one"]
        elif any(math.isfinite(d.low + d.high) for d in map(self.behind, others)):
            notes.append(
                "differences are of pairs of one seed; each interval stands by itself: of 20 "
                "settings that are as good as the best, one is expected to seem worse"
            )
        if self.unnamed:
            several = ", ".join(self.unnamed[:_MOST_NAMED])
            more = len(self.unnamed) - _MOST_NAMED
            notes.append(f"they differ in {several}{f' and {more} more' if more > 0 else ''}, too")
        if self.unfinished:
            notes.append(f"{self.unfinished} more runs are not complete")
        return notes

    def view(self) -> View:
        title = f"{self.metric}: {len(self.scores)} settings"
        picture = lambda: png(self.figure())
        return View(title, self.rows(), notes=self.notes(), picture=picture)

    def markdown(self) -> str:
        """The table as Markdown."""
        header, *rows = self.rows()
        title = f"# {self.metric} of {len(self.scores)} settings"
        notes = "\n".join(f"- {note}" for note in self.notes())
        return f"{title}\n\n{grid(list(map(str, header)), rows)}\n\n{notes}\n"

    def figure(self) -> Figure:
        """Each run's score, and each setting's mean with its interval."""
        drawn = dict(list(self.estimates.items())[:_MOST_DRAWN])
        figure = Figure(figsize=(7.0, 1.2 + 0.32 * len(drawn)), layout="constrained")
        axes = figure.subplots()
        for place, (name, e) in enumerate(drawn.items()):
            values = list(self.scores[name].values())
            axes.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.35, ms=4)
            half = half_interval(e)
            axes.errorbar([e.mean], [place], xerr=[half], fmt="D", color="tab:red", capsize=3, ms=4)
        axes.set_yticks(range(len(drawn)), [_short(name) for name in drawn], fontsize=8)
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        # Of two seeds an interval is wider than the axis of the scores should be: it is cut off.
        scores = [score for name in drawn for score in self.scores[name].values()]
        reach = (max(scores) - min(scores)) or abs(scores[0]) or 1.0
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, min(scores) - reach), min(high, max(scores) + reach))
        axes.set_xlabel(self.metric.replace("_", " "))
        axes.grid(alpha=0.3, axis="x")
        return figure

    def write(self, folder: Path) -> Path:
        """Write `comparison.md`, its picture, and a page that holds both; the page."""
        picture, page = png(self.figure()), folder / "comparison.html"
        write_atomically(folder / "comparison.md", self.markdown().encode())
        write_atomically(folder / "comparison.png", picture)
        head = '<!doctype html>\n<meta charset="utf-8">\n<title>Comparison of runs</title>\n'
        style = "<style>body{font:16px system-ui,sans-serif;margin:2rem} td,th{padding:.2rem .6rem}"
        write_atomically(page, f"{head}{style}</style>\n{self.view().html()}\n".encode())
        return page


def compare_runs(
    runs: Sequence[str | Path] | str | Path, *, metric: str | None = None
) -> Comparison:
    """Complete runs by their settings, the best first: those of one setting differ in their seed.

    **Arguments:**

    - `runs`: run directories, folders of them (`outputs/train`) and folders of sweeps.
    - `metric`: a number of `result.json`; by default the test score of the metric by which the best
      network is chosen, with `validation` its best score there.

    **Raises:** `ConfigError` for what holds no runs, or no such number; `CnnlabError` for a damaged
    result, or two runs of one setting and seed.
    """
    given = [runs] if isinstance(runs, str | Path) else list(runs)
    found = {run.resolve(): run for each in given for run in _runs_in(Path(each))}
    complete = [RunDirectory(run) for run in found.values() if RunDirectory(run).complete()]
    if not complete:
        raise ConfigError(f"runs: none of {len(found)} runs is complete, expected one or more")
    results = [Result(directory.read_result(["seed"]), directory) for directory in complete]
    judge = results[0].judge
    named = {None: f"test_{judge}", "validation": f"best_validation_{judge}"}
    metric = named.get(metric) or str(metric)
    numbers: dict[str, dict[int, float]] = {}
    settings = [read_settings(directory.config) for directory in complete]
    labels, unnamed = _labels(settings)
    for label, result in zip(labels, results, strict=True):
        number = result.get(metric)
        if not isinstance(number, int | float):
            names = sorted(name for name, x in result.items() if type(x) in (int, float))
            raise ConfigError(
                f"metric: {result.directory.path} has no {metric}; it has {', '.join(names)}"
            )
        if result["seed"] in numbers.setdefault(label, {}):
            raise CnnlabError(
                f"{result.directory.path}: another run has the same settings and seed ({label}, "
                f"seed={result['seed']}): compare one of them"
            )
        numbers[label][result["seed"]] = number
    mean = {label: estimate(list(of.values())).mean for label, of in numbers.items()}
    ranked = sorted(numbers, key=mean.__getitem__, reverse=_larger_is_better(metric))
    data = sorted({_said(_DATA, one[_DATA]) for one in settings if _DATA in one})
    scores = {name: numbers[name] for name in ranked}
    return Comparison(metric, scores, len(found) - len(complete), unnamed, data)


def _runs_in(folder: Path) -> list[Path]:
    """The run directories that a path stands for."""
    if (folder / "config.yaml").is_file():
        return [folder]
    jobs = [Path(outcome.run) for outcome in outcomes_in(folder) if outcome.run is not None]
    below = [file.parent for file in sorted(folder.glob("*/config.yaml"))]
    if not (jobs or below):
        raise ConfigError(f"runs: expected run directories, or folders of them, got {folder}")
    return jobs or below


def _labels(settings: Sequence[Mapping[str, object]]) -> tuple[list[str], list[str]]:
    """What each has that others have not, kinds of things first, then as few keys as tell all
    apart; and the other keys in which they differ, but those of kinds that are named."""
    keys = sorted(
        {key for one in settings for key in one},
        key=lambda key: (not key.endswith(_TARGET), key.count("."), key),
    )
    told: list[list[str]] = [[] for _ in settings]
    unnamed, kinds = [], []
    for key in keys:
        values = [repr(one.get(key)) for one in settings]
        if len(set(values)) == 1:
            continue
        together = {(tuple(words), value) for words, value in zip(told, values, strict=True)}
        if key.endswith(_TARGET):
            kinds.append(key.removesuffix("_target_"))
        elif len(together) == len({tuple(words) for words in told}):
            unnamed.append(key)
            continue
        for words, one in zip(told, settings, strict=True):
            words.append(_said(key, one.get(key)))
    labels = [" ".join(words) or "all the same" for words in told]
    return labels, [key for key in unnamed if not key.startswith(tuple(kinds))]


def _said(key: str, value: object) -> str:
    if key.endswith(_TARGET):
        return f"{key.removesuffix(_TARGET)}={str(value).rpartition('.')[2]}"
    return f"{key}={str(value).replace(' ', '')}"


def _more(difference: Estimate) -> str:
    """How many seeds more would tell a difference from none, were mean and deviation to stay."""
    if difference.low > 0 or difference.high < 0:
        return "told apart"
    needed = difference.needed(0.0) if difference.n > 1 else None
    return "-" if needed is None else f"{max(needed - difference.n, 1)}"


def _larger_is_better(metric: str) -> bool:
    name = functools.reduce(str.removeprefix, ("test_", "best_validation_"), metric)
    known = METRICS.get(name.removesuffix("_single_view"))
    return known.larger_is_better if known else not name.endswith(_SMALLER)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"
