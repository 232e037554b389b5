"""The `config.yaml` of a run directory: data that may come from anywhere, and may be damaged."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.compose import check_config
from cnnlab.config.messages import one_line, show
from cnnlab.config.naming import UNHASHED
from cnnlab.config.tree import is_interpolation, leaves, plain
from cnnlab.errors import ConfigError

_MOST_BYTES = 100_000
_MOST_NESTED = 20
_MOST_VALUES = 2_000
_LONGEST = 4_096  # characters of one value; longer numbers take long, too


def read_config(file: Path, trust: Sequence[str] = ()) -> DictConfig:
    """The resolved config of a training run, checked by `check_config`: keys that have come since
    the run was made get their defaults.

    **Arguments:** `trust`, modules of the user's own that it may name.

    **Raises:** `ConfigError`, in bounded time, for whatever the file may hold.
    """
    tree = _read(file)
    for key, value in leaves(tree):
        if is_interpolation(value):
            raise ConfigError(f"run: {file}: {key}: expected a value, got {show(value)}")
    try:
        return check_config(tree, trust=trust)
    except ConfigError as error:
        raise ConfigError(f"run: {file}: {error}") from error


def read_settings(file: Path) -> dict[str, object]:
    """What a run's result depends on beside its seed: the values of its config by their dotted
    keys, a list as one value. They are read only, and not checked.

    **Raises:** `ConfigError`, as `read_config` for a file that is damaged.
    """
    return dict(_counted(_read(file)))


def _counted(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values by their keys, without those that do not count and what is below them."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if key in UNHASHED:
            continue
        if isinstance(value, Mapping):
            yield from _counted(value, f"{key}.")
        else:
            yield key, value


def _read(file: Path) -> dict[str, object]:
    """The mapping in a YAML file, read only as far as it is small, flat and without aliases."""
    try:
        with file.open("rb") as handle:
            data = handle.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        text = data.decode()
        depth = values = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has aliases (*)")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_NESTED:
                raise ValueError(f"it is nested deeper than {_MOST_NESTED}")
            if isinstance(event, yaml.ScalarEvent):
                values += 1
                if values > _MOST_VALUES or len(event.value) > _LONGEST:
                    raise ValueError(
                        f"more than {_MOST_VALUES:,} values, or one of more than {_LONGEST:,}"
                        " characters"
                    )
        cfg = OmegaConf.create(text)
        if not isinstance(cfg, DictConfig) or not all(isinstance(key, str) for key in cfg):
            raise ValueError("expected a mapping")
        return plain(cfg)
    # OverflowError: of a sexagesimal number.
    except (OSError, ValueError, OverflowError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"run: {file} is damaged: {one_line(error)}") from error
