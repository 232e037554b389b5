"""Where configs come from, read through Hydra without touching its global state."""

import contextlib
import copy
import functools
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import InputDefault
from hydra.core.object_type import ObjectType
from hydra.core.utils import setup_globals
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf

from cnnlab.config.declared import declared
from cnnlab.config.hydra_internals import (
    ConfigLoaderImpl,
    ConfigRepository,
    create_config_search_path,
)
from cnnlab.config.hydra_node import check_hydra, check_search_path
from cnnlab.config.messages import nearest_key, one_line, show
from cnnlab.config.tree import plain, walk
from cnnlab.console import project
from cnnlab.errors import ConfigError

VERSION_BASE = "1.3"


def default_directory() -> Path:
    """The project's configs."""
    return project() / "configs"


def directory_of_configs(path: str | Path) -> str:
    """A directory's full path.

    **Raises:** `ConfigError`: there is none.
    """
    if not Path(path).is_dir():
        raise ConfigError(f"{path}: no such directory of configs")
    return str(Path(path).resolve())


@contextlib.contextmanager
def _version_base() -> Iterator[None]:
    """Hydra's defaults of `VERSION_BASE`, leaving the caller's own choice as it was."""
    holder = VersionBase.instance()
    before = holder.version_base
    setbase(VERSION_BASE)
    try:
        yield
    finally:
        holder.version_base = before


class _Files(ConfigRepository):
    """Reads each file once: Hydra would for every composition. Searches only what is trusted."""

    def __init__(self, config_search_path: ConfigSearchPath, trust: tuple[str, ...]) -> None:
        self._trust = trust
        super().__init__(config_search_path)

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        check_search_path(config_search_path.get_path(), self._trust)
        super().initialize_sources(config_search_path)
        self._read: dict[str, ConfigResult | None] = {}

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            found = super().load_config(config_path)
            if found is not None:
                _check_defaults(config_path, found.defaults_list or ())
            self._read[config_path] = found
        return copy.deepcopy(self._read[config_path])  # what is composed shares its nodes

    def __deepcopy__(self, memo: dict) -> "_Files":  # for every composition, one of its own
        twin = copy.copy(self)
        twin.sources = copy.deepcopy(self.sources, memo)
        return twin


def _check_defaults(name: str, defaults: Iterable[InputDefault]) -> None:
    """Refuse choices that may differ from one composition to the next: Hydra composes again what
    was composed and checked here.

    **Raises:** `ConfigError`.
    """
    for default in defaults:
        for text in map(str, vars(default).values()):
            if re.search(r"\$\{[^{}]*:", text):
                raise ConfigError(
                    f"{name}: defaults: {show(text)} is refused; expected names of choices, or "
                    "references to those of other groups, ${group}"
                )


@dataclass(frozen=True)
class Source:
    """A primary config `name` in `directory`; `extra` is one more directory searched first, `trust`
    the modules that its configs may name.

    It stays as the files are at its first use.
    """

    directory: str
    name: str = "train"
    extra: str | None = None
    trust: tuple[str, ...] = ()

    @property
    def loader(self) -> ConfigLoaderImpl:
        """Hydra's loader of these directories."""
        return _loader(self.directory, self.extra, self.trust, self.fingerprint)

    def load(self, overrides: tuple[str, ...] = (), *, sweep: bool = False) -> DictConfig:
        """Hydra's composition, its `hydra` node included. It is kept: change a copy of it only.

        With `sweep`, overrides may hold several values. Of our checks only that of Hydra's own
        targets is made here.

        **Raises:** `ConfigError`, one line.
        """
        return _load(self, overrides, sweep, self.fingerprint)

    def load_base(self) -> DictConfig:
        """The primary config as it stands; mandatory groups (`???`) stay open."""
        return self.load(sweep=True)

    def is_group(self, name: str) -> bool:
        """Whether a config group has this name, Hydra's own included."""
        return _exists(self.loader.repository.group_exists, name)

    def has_choice(self, group: str, choice: str) -> bool:
        """Whether a group has a file of this name."""
        return _exists(self.loader.repository.config_exists, f"{group}/{choice}")

    def choices(self, group: str) -> list[str]:
        """Names of a group's files, sorted."""
        return sorted(self.loader.repository.get_group_options(group, ObjectType.CONFIG))

    def groups(self) -> list[str]:
        """Names of all groups but Hydra's own, nested ones with a slash."""
        return list(_groups(self, self.fingerprint))

    @functools.cached_property
    def fingerprint(self) -> tuple[tuple[str, int], ...]:
        """Changes when a YAML file or a declared config does: a notebook sees its edits."""
        roots = [self.directory] + ([self.extra] if self.extra is not None else [])
        files = (file for root in roots for file in Path(root).rglob("*.yaml"))
        own = declared(self.name)
        version = [(self.name, own.number)] if own else []
        return tuple([*version, *sorted((str(f), f.stat().st_mtime_ns) for f in files)])


def _exists(look: Callable[[str], bool], name: str) -> bool:
    try:
        return look(name)
    except (OSError, ValueError):  # longer than a file's name may be; with a zero byte
        return False


def job_part(cfg: DictConfig) -> DictConfig:
    """A copy of a loaded config without Hydra's own node."""
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


@functools.lru_cache(maxsize=16)
def _loader(
    directory: str, extra: str | None, trust: tuple[str, ...], fingerprint: tuple
) -> ConfigLoaderImpl:
    setup_globals()  # the resolvers `now` and `hydra`
    search_path = create_config_search_path(directory)
    _drop_schemas(Path(directory))
    if extra is not None:
        anchor = SearchPathQuery(provider="schema")
        search_path.prepend("command-line", f"file://{extra}", anchor)
    loader = ConfigLoaderImpl(search_path)
    loader.repository = _Files(search_path, trust)
    return loader


def _drop_schemas(directory: Path) -> None:
    """Forget what an installed plugin stores under the name of a launcher or sweeper of this
    directory: Hydra would merge the two."""
    stored = ConfigStore.instance().repo.get("hydra", {})
    for group in ("launcher", "sweeper"):
        for file in (directory / "hydra" / group).glob("*.yaml"):
            stored.get(group, {}).pop(file.name, None)


@functools.lru_cache(maxsize=16)
def _groups(source: Source, fingerprint: tuple) -> tuple[str, ...]:
    found = []
    repository = source.loader.repository
    pending = [g for g in repository.get_group_options("", ObjectType.GROUP) if g != "hydra"]
    while pending:
        group = pending.pop()
        if source.choices(group):
            found.append(group)
        nested = repository.get_group_options(group, ObjectType.GROUP)
        pending.extend(f"{group}/{name}" for name in nested)
    return tuple(sorted(found))


@functools.lru_cache(maxsize=256)
def _load(
    source: Source, overrides: tuple[str, ...], sweep: bool, fingerprint: tuple
) -> DictConfig:
    mode = RunMode.MULTIRUN if sweep else RunMode.RUN
    with _version_base(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="provider=.* is not available")  # a searchpath
        try:
            cfg = source.loader.load_configuration(
                source.name, list(overrides), mode, validate_sweep_overrides=not sweep
            )
        # Hydra's, OmegaConf's, YAML's, and what they stumble over in values they did not expect.
        except Exception as error:
            message, key = one_line(error), re.search(r"full_key: (\S+)", str(error))
            if key is not None and key[1] not in message:
                message = f"{key[1]}: {message}"
            if unknown := re.fullmatch(r"(hydra\.\S+): no such key", message):
                message += _did_you_mean(source, overrides, sweep, unknown[1])
            raise ConfigError(message) from error
        check_hydra(plain(cfg.hydra), overrides)
    return cfg


def _did_you_mean(source: Source, overrides: tuple[str, ...], sweep: bool, key: str) -> str:
    """Of a key that an override is of and that there is none of: the nearest one."""
    others = tuple(line for line in overrides if line.lstrip("+~").partition("=")[0] != key)
    if others == overrides:
        return ""
    keys = [name for name, _ in walk(plain(source.load(others, sweep=sweep)))]
    close = nearest_key(key, keys)
    return f"; did you mean {close}?" if close else ""
