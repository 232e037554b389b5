"""Checks on a composed config: unknown keys of files, durations, missing values, interpolations."""

import re
from collections.abc import Iterable, Mapping

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.kinds import DURATIONS
from cnnlab.config.messages import nearest_key, one_line, show
from cnnlab.config.targets import TARGET
from cnnlab.config.tree import MISSING, is_interpolation, is_open, leaves, plain, walk
from cnnlab.errors import ConfigError

GIVEN = "given"  # the key of what was given to `build`, in the config that a run keeps
_PLAIN = re.compile(r"\s*[A-Za-z_]\w*\s*")
_SECRET = re.compile("key|token|secret|passw|credential", re.IGNORECASE)
_EXAMPLES = {"run": "run=outputs/...", "image": "image=photo.png"}


def check_known(cfg: DictConfig, base: DictConfig, groups: Iterable[str]) -> None:
    """Refuse keys that a file (an experiment preset, say) adds and that nothing reads.

    The keys of `base`, the primary config as it stands, are those that are read; a group's own
    node, and arguments of a `_target_`, may hold others.

    **Arguments:** `groups`, the names of all config groups.

    **Raises:** `ConfigError`: such a key (the message names the nearest), or one that is gone.
    """
    free = {group.split("/")[0] for group in groups}
    known, given = plain(base), plain(cfg)
    for key in _unknown(given, known, free):
        close = nearest_key(key, [k for k, _ in walk(known)])
        hint = f"; did you mean {close}?" if close else ""
        raise ConfigError(f"{key}: no such key{hint}")
    for name in known:
        if name not in given and name not in free:
            raise ConfigError(f"{name}: required; it cannot be deleted")


def _unknown(given: dict, known: dict, free: Iterable[str], prefix: str = "") -> list[str]:
    found = []
    for name, value in given.items():
        if name in free:
            continue
        if name not in known:
            found.append(f"{prefix}{name}")
        elif isinstance(value, Mapping) and isinstance(known[name], Mapping) and known[name]:
            nodes = any(isinstance(v, Mapping) and TARGET in v for v in known[name].values())
            if TARGET not in value and not nodes:
                found += _unknown(dict(value), dict(known[name]), (), f"{prefix}{name}.")
    return found


def settle_durations(cfg: DictConfig, overrides: Iterable[Override]) -> None:
    """Let the duration that the user gave replace the default one, in place.

    A duration is a node (the config itself, or one as `evaluate_every`) with the keys epochs,
    steps and examples. Where the overrides set exactly one of the three, the other two become
    null.

    **Raises:** `ConfigError`: unless, in the end, the config's own has exactly one that is not null
    and each other node has at most one (none: never).
    """
    values = {key: value for o in overrides for key, value in _settings(o)}
    given = {key for key, value in values.items() if value is not None}
    tree = plain(cfg)
    nodes = [("", tree)] + [(f"{k}.", v) for k, v in walk(tree)]
    for prefix, node in nodes:
        if not (isinstance(node, Mapping) and all(d in node for d in DURATIONS)):
            continue
        chosen = [d for d in DURATIONS if f"{prefix}{d}" in given]
        if len(chosen) == 1:
            for name in DURATIONS:
                if name != chosen[0]:
                    OmegaConf.update(cfg, f"{prefix}{name}", None)
        else:
            chosen = [d for d in DURATIONS if node[d] is not None]
        if len(chosen) > 1:
            names = ", ".join(f"{d}={show(node[d])}" for d in chosen)
            by_files = not any(f"{prefix}{d}" in given for d in DURATIONS)
            hint = "; a config file that gives one says null of the others" if by_files else ""
            raise ConfigError(
                f"{prefix}{chosen[0]}: give one of epochs, steps, examples; got {names}{hint}"
            )
        if not chosen and not prefix:
            raise ConfigError("epochs: required; give one of epochs, steps, examples")


def _settings(override: Override) -> list[tuple[str, object]]:
    """The dotted keys that the override sets, with their values."""
    value: object = override.value()
    inner = leaves(value, f"{override.key_or_group}.") if isinstance(value, Mapping) else ()
    return [(override.key_or_group, value), *inner]


def refuse_given(tree: Mapping[str, object]) -> None:
    """Refuse the config of a run whose parts no config describes.

    **Raises:** `ConfigError`.
    """
    if (given := tree.get(GIVEN)) is not None:
        parts = ", ".join(map(str, given)) if isinstance(given, Mapping) else show(given)
        raise ConfigError(
            f"{GIVEN}: this run's {parts} came from Python, which no config describes; there,"
            " lab = cnnlab.build(cfg, ...) with them again finds the run: lab.evaluate(),"
            " lab.predictor(); cnnlab.build(cfg, model=lab.trained()[:2]) trains its model on"
        )


def check_missing(cfg: DictConfig) -> None:
    """Refuse a mandatory value (`???`) that nobody gave.

    **Raises:** `ConfigError`.
    """
    for key, value in leaves(plain(cfg)):
        if value == MISSING:
            raise ConfigError(f"{key}: required, e.g. {_EXAMPLES.get(key, f'{key}=...')}")


def check_interpolations(cfg: DictConfig) -> None:
    """Refuse an interpolation that leads nowhere, or reads what a run's config must not keep. What
    Hydra resolves is passed over until its job runs.

    **Raises:** `ConfigError`.
    """
    found = [(key, value) for key, value in leaves(plain(cfg)) if is_interpolation(value)]
    for key, value in found:  # all of them before one is resolved
        if _reads_secrets(value):
            raise ConfigError(
                f"{key}: {show(value)} is refused, as a run's config.yaml would keep what it reads;"
                " expected ${oc.env:NAME} of a variable that is no key, token, secret or password"
            )
    for key, value in found:
        if not is_open(value):
            try:
                OmegaConf.select(cfg, key, throw_on_missing=True)
            except OmegaConfBaseException as error:
                raise ConfigError(f"{key}: {show(value)}: {one_line(error)}") from error


def _reads_secrets(text: str) -> bool:
    """Whether a text with interpolations may read a secret of the environment: by its name, or by
    one that is put together only when it is resolved."""
    if re.search(r"\$\{\s*oc\.(decode|create)\s*:", text):
        return True
    names = re.findall(r"\$\{\s*oc\.env\s*:([^,}]*)", text)
    return any(not _PLAIN.fullmatch(name) or _SECRET.search(name) for name in names)
