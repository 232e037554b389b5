"""Where configs come from, read through Hydra without touching its global state."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

import cnnlab
from cnnlab.config.declared import declared
from cnnlab.config.messages import one_line
from cnnlab.config.targets import check_hydra_targets
from cnnlab.errors import ConfigError

VERSION_BASE = "1.3"
LOAD_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, AssertionError)


def default_directory() -> Path:
    """The project's configs: inside the package when it is installed, beside it in a checkout."""
    package = Path(cnnlab.__file__).resolve().parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


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


@dataclass(frozen=True)
class Source:
    """A primary config `name` in `directory`; `extra` is one more directory searched first."""

    directory: str
    name: str = "train"
    extra: str | None = None

    @functools.cached_property
    def loader(self) -> ConfigLoaderImpl:
        setup_globals()  # the resolvers `now` and `hydra`
        search_path = create_config_search_path(self.directory)
        if self.extra is not None:
            anchor = SearchPathQuery(provider="schema")
            search_path.prepend("command-line", f"file://{self.extra}", anchor)
        return ConfigLoaderImpl(search_path)

    def load(self, overrides: tuple[str, ...] = (), *, sweep: bool = False) -> DictConfig:
        """Hydra's composition, its `hydra` node included. It is kept: change a copy of it only.

        Raises ConfigError, one line. With `sweep`, overrides may hold several values. Of our checks
        only that of Hydra's own targets is made here.
        """
        return _load(self, overrides, sweep, self._fingerprint())

    def load_base(self) -> DictConfig:
        """The primary config as it stands; mandatory groups (`???`) stay open."""
        return self.load(sweep=True)

    def is_group(self, name: str) -> bool:
        return _exists(self.loader.repository.group_exists, name)

    def has_choice(self, group: str, choice: str) -> bool:
        return _exists(self.loader.repository.config_exists, f"{group}/{choice}")

    def choices(self, group: str) -> list[str]:
        return sorted(self.loader.repository.get_group_options(group, ObjectType.CONFIG))

    def groups(self) -> list[str]:
        """Names of all groups but Hydra's own, nested ones with a slash."""
        return list(_groups(self, self._fingerprint()))

    def _fingerprint(self) -> tuple[tuple[str, int], ...]:
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
    with _version_base():
        try:
            cfg = source.loader.load_configuration(
                source.name, list(overrides), mode, validate_sweep_overrides=not sweep
            )
        except LOAD_ERRORS as error:
            raise ConfigError(one_line(error)) from error
    check_hydra_targets(OmegaConf.to_container(cfg.hydra))
    return cfg
