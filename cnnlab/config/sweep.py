"""The jobs of a sweep, composed and checked before the first one starts."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig

from cnnlab.config.compose import prepare
from cnnlab.config.overrides import parse, structural_lines
from cnnlab.config.source import Source
from cnnlab.config.tree import plain
from cnnlab.errors import ConfigError

_HYDRA = re.compile(r"[+~]*hydra[./]")


def sweep_jobs(source: Source, lines: Sequence[str]) -> dict[tuple[str, ...], DictConfig]:
    """The checked config of each combination of values, by its overrides as Hydra writes them.

    The values in `hydra.sweeper.params` of the config count too, before those of `lines`. For an
    interval, which only an optimiser's sweeper can search, both ends are checked. Raises
    ConfigError that names the job.
    """
    parsed = parse(lines, source, sweep=True)
    cfg = source.load(structural_lines(parsed, source), sweep=True)
    parameters = plain(cfg)["hydra"]["sweeper"].get("params") or {}
    swept = parse([f"{k}={v}" for k, v in parameters.items()], source, sweep=True)
    values = {o.get_key_element(): _values(o) for o in [*swept, *parsed]}
    jobs = {}
    for job in itertools.product(*values.values()):
        try:
            jobs[tuple(line for line in job if not _HYDRA.match(line))] = prepare(source, job)
        except ConfigError as error:
            lines_of = zip(job, values.values(), strict=True)
            varied = " ".join(line for line, every in lines_of if len(every) > 1)
            where = f" (job with {varied})" if varied else ""
            raise ConfigError(f"{error}{where}") from error
    return jobs


def _values(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
        if not values:
            raise ConfigError(f"{key}: no values in {override.get_value_string()}")
        return [f"{key}={value}" for value in values]
    if override.is_interval_sweep():
        interval: Any = override.value()
        assert isinstance(interval, IntervalSweep)
        return [f"{key}={interval.start}", f"{key}={interval.end}"]
    return [f"{key}={override.get_value_element_as_str()}"]  # as Hydra's own sweeper does
