"""From a list of overrides to a checked configuration, in a notebook as on the command line."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.allowed import LATER, TARGETS
from cnnlab.config.check import (
    check_interpolations,
    check_known,
    check_missing,
    refuse_given,
    settle_durations,
)
from cnnlab.config.messages import one_line, show
from cnnlab.config.overrides import (
    apply_override,
    check_choice,
    is_structural,
    parse,
    quote_home,
    selects_group,
    structural_lines,
)
from cnnlab.config.scale import settle_scale
from cnnlab.config.source import Source, default_directory, directory_of_configs, job_part
from cnnlab.config.tree import MISSING, plain
from cnnlab.config.trust import check_trust, grant, granted, refuse_grants
from cnnlab.config.values import Types, settle_values, take_types
from cnnlab.errors import ConfigError


def compose(
    overrides: Sequence[str] = (),
    config_name: str = "train",
    *,
    config_dir: str | Path | None = None,
    extra_dir: str | Path | None = None,
    trust: Sequence[str] = (),
) -> DictConfig:
    """The configuration that `python -m experiments.<config_name> <overrides>` runs with.

    Works from any directory, any number of times, also inside a running Hydra application, and
    leaves Hydra's global state alone.

    **Arguments:**

    - `overrides`: in Hydra's grammar, e.g. `["backbone=vgg11", "optimizer.lr=3e-4"]`.
    - `config_name`: the primary config; `config_dir`: its directory instead of the project's.
    - `extra_dir`: one more directory of configs, with groups and choices of your own, as `-cd`.
    - `trust`: top-level modules of your own, whose callables the config may name as a `_target_`,
      as `trust=[...]` on the command line. The result carries it, what is written of it does not.

    **Raises:** `ConfigError` (a `ValueError`) with one line that begins with the key: unknown keys
    and choices, values of the wrong kind, missing values, durations given twice, interpolations
    that lead nowhere, targets that are not allowed, modules that can't be trusted.
    """
    directory = Path(config_dir) if config_dir is not None else default_directory()
    extra = None if extra_dir is None else directory_of_configs(extra_dir)
    source = Source(str(directory.resolve()), config_name, extra, check_trust(trust))
    return compose_source(source, quote_home(overrides))


def check_config(
    cfg: object, config_name: str = "train", *, trust: Sequence[str] = ()
) -> DictConfig:
    """A copy of a config that was not composed here, or was changed since, checked as one that is:
    its targets by the lists of `config.allowed`, its values by their kinds.

    Plain keys that it lacks get their defaults, and so do groups that came after there were runs;
    the other groups it must have. Keys that nothing reads stay.

    **Arguments:** `cfg`, a config or a mapping; `config_name`, the primary config that it is of;
    `trust`, modules that it may name besides those that it was granted (`compose`).

    **Raises:** `ConfigError`, one line that begins with the key.
    """
    if not isinstance(cfg, DictConfig | Mapping):
        raise ConfigError(f"cfg: expected a config, from cnnlab.compose([...]), got {show(cfg)}")
    source = Source(str(default_directory()), config_name)
    base, types = _defaults(source, source.fingerprint)
    trust = (*granted(cfg), *check_trust(trust))
    try:
        cfg = OmegaConf.create(plain(cfg) if isinstance(cfg, DictConfig) else dict(cfg))
    except OmegaConfBaseException as error:
        raise ConfigError(f"cfg: {one_line(error)}") from error
    refuse_grants(cfg)
    refuse_given(cfg)
    grant(cfg, trust)
    for name, value in plain(base).items():
        if name not in cfg:
            if name in TARGETS and name not in LATER:
                raise ConfigError(f"{name}: required; it is not in the config")
            cfg[name] = value
    check_interpolations(cfg)
    settle_values(cfg, base, types)
    check_missing(cfg)
    OmegaConf.set_struct(cfg, True)
    return cfg


def compose_source(
    source: Source, overrides: Sequence[str], *, allow_missing: bool = False
) -> DictConfig:
    """`compose` for a `Source`; with `allow_missing`, values that are still missing may stay."""
    parsed = parse(overrides, source)
    base = source.load_base()
    tree = plain(base)
    for override in parsed:
        if selects_group(override, source):
            check_choice(override, source, tree)
    lines = structural_lines(parsed, source)
    open_groups = MISSING in tree["hydra"]["runtime"]["choices"].values()
    cfg = job_part(source.load(lines) if lines or open_groups else base)
    types = take_types(cfg)
    for name in base:
        if name not in cfg and name != "hydra" and source.is_group(str(name)):
            cfg[name] = {}  # no choice left, as in `augment=[]`
    OmegaConf.set_struct(cfg, True)
    values = [o for o in parsed if not is_structural(o, source)]
    settle_scale(cfg, values)
    for override in values:
        apply_override(override, cfg, source)
    grant(cfg, source.trust)
    known = _known(source, source.fingerprint)
    refuse_grants(cfg)
    check_known(cfg, known, source.groups())
    check_interpolations(cfg)
    settle_durations(cfg, values)
    settle_values(cfg, known, types)
    if not allow_missing:
        check_missing(cfg)
    return cfg


@functools.lru_cache(maxsize=64)
def _defaults(source: Source, fingerprint: tuple) -> tuple[DictConfig, Types]:
    """The primary config as it stands, and its types: to be read only."""
    base = job_part(source.load_base())
    return base, take_types(base)


@functools.lru_cache(maxsize=64)
def _known(source: Source, fingerprint: tuple) -> DictConfig:
    """The primary config as it stands, all of whose keys are read."""
    known = _defaults(source, fingerprint)[0].copy()
    settle_scale(known, ())
    return known
