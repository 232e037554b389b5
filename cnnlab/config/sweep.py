"""The jobs of a sweep, composed and checked before the first one starts, and where it is kept."""

import contextlib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, open_dict

from cnnlab.config.compose import compose_source
from cnnlab.config.hashing import config_hash
from cnnlab.config.messages import show
from cnnlab.config.overrides import parse, structural_lines
from cnnlab.config.source import Source
from cnnlab.config.tree import is_open, leaves, plain
from cnnlab.errors import CnnlabError, ConfigError

MOST_JOBS = 10_000
_HYDRA = re.compile(r"[+~]*hydra[./]")
_FOLDER = "${oc.select:output,outputs}/sweeps"  # as the project's config has it
_UNCOUNTED = re.compile(  # for the folder's name
    r"[+~]*(hydra[./](?!sweeper[./=])|hydra\.sweeper\.n_(trials|jobs)=|force=|progress=|output=)"
)

Check = Callable[[DictConfig], object]


def sweep_jobs(
    source: Source,
    lines: Sequence[str],
    rehearsal: Callable[[list[DictConfig]], Check] | None = None,
) -> dict[tuple[str, ...], DictConfig]:
    """The checked config of each combination of values, by its overrides as Hydra writes them.

    The values in `hydra.sweeper.params` of the config count too, before those of `lines`. For an
    interval, which only an optimiser's sweeper can search, both ends are checked.

    **Arguments:** `rehearsal`, given all configs, makes a check of each of them that goes further
    than composing does. It is called when all are composed.

    **Raises:** `ConfigError` that names the job; also for more than `MOST_JOBS` of them. Another
    `CnnlabError` of a rehearsal (a damaged file) names it too.
    """
    overrides = {o.get_key_element(): o for o in overrides_of(source, lines)}
    sweeper = plain(_loaded(source, lines))["hydra"]["sweeper"]
    number = math.prod(_count(o, searches(sweeper)) for o in overrides.values())
    if number > MOST_JOBS:
        raise ConfigError(f"-m: expected at most {MOST_JOBS:,} jobs, got {number:,}")
    values = {key: _values(override) for key, override in overrides.items()}
    jobs: dict[tuple[str, ...], DictConfig] = {}
    names = {}
    for job in itertools.product(*values.values()):
        short = tuple(line for line in job if not _HYDRA.match(line))
        pairs = zip(job, values.values(), strict=True)
        names[short] = " ".join(line for line, every in pairs if len(every) > 1)
        with _naming(names[short]):
            jobs[short] = compose_source(source, job)
    if rehearsal is not None:
        check = rehearsal(list(jobs.values()))
        for short, cfg in jobs.items():
            if any(is_open(value) for _, value in leaves(plain(cfg))):
                continue  # it is checked when its values are known
            with _naming(names[short]):
                tried = check(cfg)
                if "direction" in sweeper:  # it searches by what a run gives
                    _check_judge(tried, sweeper["direction"])
    return jobs


def _check_judge(tried: object, direction: str) -> None:
    from cnnlab.train.experiment import Experiment
    from cnnlab.train.trial import check_judge

    if isinstance(tried, Experiment):
        check_judge(tried, direction)


def overrides_of(source: Source, lines: Sequence[str]) -> list[Override]:
    """Those of a sweep: `hydra.sweeper.params` of the config, and then `lines`.

    **Raises:** `ConfigError`.
    """
    params = plain(_loaded(source, lines))["hydra"]["sweeper"].get("params") or {}
    of_config = parse([f"{key}={value}" for key, value in params.items()], source, sweep=True)
    for override in of_config:
        if override.is_hydra_override():  # it would count as said on the command line
            raise ConfigError(
                f"hydra.sweeper.params: {show(override.key_or_group)} is refused; expected keys "
                "and groups of the experiment"
            )
    return [*of_config, *parse(lines, source, sweep=True)]


def searches(sweeper: Mapping[str, object]) -> bool:
    """Whether a sweeper proposes values itself, instead of taking each that is given."""
    return not str(sweeper.get("_target_", "")).endswith(".BasicSweeper")


def hydra_lines(lines: Sequence[str]) -> list[str]:
    """Those that say something to Hydra."""
    return [line for line in lines if _HYDRA.match(line)]


def settings_of_hydra(
    source: Source, lines: Sequence[str], configs: Mapping[tuple[str, ...], DictConfig]
) -> tuple[DictConfig, Path]:
    """Hydra's node for a sweep, and the sweep's folder: where it is not said, one that the same
    settings find again, whatever launches them and however long they search."""
    cfg, first = _loaded(source, lines).copy(), next(iter(configs.values()), {})
    with open_dict(cfg):
        cfg.update({key: first[key] for key in ("output", "name") if key in first})
    folder, said = Path(cfg.hydra.sweep.dir), plain(cfg.hydra.sweep)["dir"]
    if said == _FOLDER:
        counts = [line for line in lines if not _UNCOUNTED.match(line)]
        folder /= f"{source.name}-{config_hash({'lines': counts})}"
    return cfg.hydra, folder


def _loaded(source: Source, lines: Sequence[str]) -> DictConfig:
    return source.load(structural_lines(parse(lines, source, sweep=True), source), sweep=True)


@contextlib.contextmanager
def _naming(varied: str) -> Iterator[None]:
    try:
        yield
    except CnnlabError as error:
        kind = ConfigError if isinstance(error, ConfigError) else CnnlabError
        raise kind(f"{error}{f' (job with {varied})' if varied else ''}") from error


def _count(override: Override, searches: bool) -> int:
    """How many values an override has, without making them."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep) and not searches:
        raise ConfigError(
            f"{key}: {override.get_value_string()} is for a sweeper that searches; this one takes "
            f"values, {key}=1,2,3, or {key}=range(start,stop,step)"
        )
    if isinstance(value, RangeSweep):
        start, stop, step = (float(bound or 0) for bound in (value.start, value.stop, value.step))
        if not step or not math.isfinite(stop - start) or (stop - start) / step <= 0:
            raise ConfigError(f"{key}: no values in {override.get_value_string()}")
        return math.ceil((stop - start) / step)
    if override.is_discrete_sweep():
        values = itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1)
        try:
            count = sum(1 for _ in values)
        except Exception as error:  # OmegaConf's, of a sweep within a sweep
            raise ConfigError(f"{key}: no values in {show(override.get_value_string())}") from error
        if not count:
            raise ConfigError(f"{key}: no values in {override.get_value_string()}")
        return count
    return 1


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_discrete_sweep():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    if override.is_interval_sweep():
        interval: object = override.value()
        assert isinstance(interval, IntervalSweep)
        return [f"{key}={interval.start}", f"{key}={interval.end}"]
    return [f"{key}={override.get_value_element_as_str()}"]  # as Hydra's own sweeper does
