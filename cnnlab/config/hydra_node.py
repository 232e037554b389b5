"""Hydra's own node: what nobody may have imported through it, and what files may say in it.

A folder of configs may come from somebody else, and Hydra does what its node says before our own
checks are asked: it imports packages, opens log files, makes folders and sets environment
variables. So what this node holds is either what Hydra and its installed plugins come with, what
the command line says, or one of the few things that a file may say.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from hydra.core.config_search_path import SearchPathElement
from hydra.types import RunMode

from cnnlab.config.hydra_internals import ConfigLoaderImpl, create_config_search_path
from cnnlab.config.messages import show
from cnnlab.config.targets import TARGET, targets_in
from cnnlab.config.tree import MISSING, leaves, plain
from cnnlab.config.trust import how_to_trust
from cnnlab.console import project
from cnnlab.errors import ConfigError

# Hydra instantiates its own launchers, sweepers and callbacks.
_BASIC = r"hydra\._internal\.core_plugins\.\w+\.Basic(Launcher|Sweeper)"
_RETURNS = r"hydra\.experimental\.callbacks\.LogJobReturnCallback"
_TARGETS = re.compile(rf"{_BASIC}|{_RETURNS}|hydra_plugins(\.\w+)+", re.ASCII)
_CLASSES = re.compile(r"logging(\.handlers)?\.[A-Z]\w+", re.ASCII)
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
_PACKAGES = ("cnnlab", "hydra")
_LOGGING = ("job_logging", "hydra_logging")

_JOB = r"\$\{hydra\.job\.(name|num|override_dirname)\}"
_FOLDER = (
    rf"(?!/)(?!.*\.\.)({_JOB}|\$\{{(output|name|oc\.select:output,outputs)\}}|"
    r"\$\{now:[\w%:. -]*\}|[\w.,=+/ -])+"
)
_LOG_FILE = rf"\$\{{hydra\.runtime\.output_dir\}}/([\w-]|{_JOB})+\.log"
_WORDS = r"(?!ext://|cfg://)(?!.*\$\{).*"
# What texts a file may set, key by key; numbers, true, false and null it may set everywhere.
_FROM_FILES = [
    (re.compile(key, re.ASCII), re.compile(text, re.ASCII | re.DOTALL))
    for key, text in (
        (r"runtime\.(version(_base)?|cwd|config_sources\..*|choices\..*)|overrides\..*", ".*"),
        (r"job\.(config_name|override_dirname|config\.override_dirname\..*)", ".*"),
        (r"(hydra_)?help\..*|verbose(\..*)?|mode", ".*"),
        (r"searchpath\.\d+", r"(?!.*\$\{).*"),  # see check_search_path
        (r"sweeper\.(params\..*|direction(\.\d+)?|study_name|sampler|pruner)", ".*"),
        (r"job\.name", r"[\w-][\w.-]*"),
        (r"run\.dir|sweep\.(dir|subdir)", _FOLDER),
        (rf"(launcher|sweeper)\.{TARGET}", _BASIC),
        (rf"callbacks\.[^.]+\.{TARGET}", _RETURNS),
        (rf"({'|'.join(_LOGGING)})\.(root|loggers\..+)\.(level|handlers\.\d+)", _WORDS),
        (rf"({'|'.join(_LOGGING)})\.formatters\.[^.]+\.(format|datefmt)", _WORDS),
        (rf"({'|'.join(_LOGGING)})\.handlers\.[^.]+\.(formatter|level)", _WORDS),
        (rf"({'|'.join(_LOGGING)})\.handlers\.[^.]+\.stream", "|".join(_STREAMS)),
        (
            rf"({'|'.join(_LOGGING)})\.handlers\.[^.]+\.class",
            r"logging\.(StreamHandler|NullHandler|FileHandler)",
        ),
        (rf"({'|'.join(_LOGGING)})\.handlers\.[^.]+\.filename", _LOG_FILE),
    )
]


def check_hydra(node: Mapping[str, object], given: Sequence[str] = ()) -> None:
    """Refuse what Hydra would do without having been allowed to.

    **Arguments:** `node`, Hydra's as it was composed; `given`, the overrides that the command line
    gave, whose values for Hydra are the user's own.

    **Raises:** `ConfigError`: it would import what is neither Hydra's, nor of an installed plugin,
    nor Python's logging; or a value that only the command line may give.
    """
    _check_imports(node)
    doubtful = [(key, value) for key, value in leaves(node) if not _may_say(key, value)]
    if not doubtful:
        return
    values = tuple(line for line in given if re.match(r"[+~]*hydra\.", line))
    groups = tuple(_choices(node))
    known = _without_files(values, groups)
    for key, value in doubtful:
        if key not in known or known[key] != value:
            raise ConfigError(
                f"hydra.{key}: {show(value)} is refused, as it comes from a config file; only the "
                "command line may say that"
            )


def check_search_path(paths: Sequence[SearchPathElement], trust: Sequence[str]) -> None:
    """Refuse packages whose configs a config would have searched, as to search one imports it.

    **Raises:** `ConfigError`: neither a folder nor of a package that is trusted.
    """
    for path in paths:
        scheme, found, rest = str(path.path).partition("://")
        named = str(path.provider).startswith("hydra.searchpath")  # else of a plugin, or ours
        if not named or not found or scheme == "file":
            continue
        top = re.split(r"[./]", rest)[0]
        if scheme != "pkg" or top not in (*_PACKAGES, *trust):
            hint = how_to_trust(f"{top}.configs") if scheme == "pkg" else ""
            raise ConfigError(
                f"hydra.searchpath: {show(path.path)} is refused; expected folders, file://..."
                f"{hint}"
            )


def _may_say(key: str, value: object) -> bool:
    """Whether any file may set this."""
    if not isinstance(value, str) or value == MISSING:
        return True
    return any(k.fullmatch(key) and text.fullmatch(value) for k, text in _FROM_FILES)


def _check_imports(node: Mapping[str, object]) -> None:
    for key, target in targets_in(node, "hydra"):
        if not (isinstance(target, str) and _TARGETS.fullmatch(target)):
            raise ConfigError(
                f"{key}.{TARGET}: {show(target)} is refused; hydra allows its own parts and "
                "hydra_plugins"
            )
    for key in _LOGGING:
        _check_logging(node.get(key), f"hydra.{key}")


def _check_logging(node: object, key: str) -> None:
    """Refuse what Python's logging would import and call: factories, classes but its own, and
    `ext://` anywhere."""
    if isinstance(node, str) and node.startswith(("ext://", "cfg://")) and node not in _STREAMS:
        raise ConfigError(f"{key}: {show(node)} is refused; expected {' or '.join(_STREAMS)}")
    for name, value in _items(node):
        own = isinstance(value, str) and _CLASSES.fullmatch(value)
        if name == "()" or (name == "class" and not own):
            raise ConfigError(
                f"{key}.{name}: {show(value)} is refused; logging has its own classes"
            )
        _check_logging(value, f"{key}.{name}")


def _items(node: object) -> Iterator[tuple[object, object]]:
    if isinstance(node, Mapping):
        yield from node.items()
    elif isinstance(node, list | tuple):
        yield from enumerate(node)


def _choices(node: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Hydra's groups with what was chosen of each, wherever that was said."""
    runtime = node.get("runtime")
    choices = runtime.get("choices") if isinstance(runtime, Mapping) else None
    for group, choice in (choices or {}).items():
        if str(group).startswith("hydra/") and isinstance(choice, str):
            yield str(group), choice


@functools.lru_cache(maxsize=16)
def _without_files(
    values: tuple[str, ...], groups: tuple[tuple[str, str], ...]
) -> dict[str, object]:
    """The node, by dotted key, as Hydra, its plugins and the project compose it, without a file of
    anybody else's; empty where they can't."""
    loader = ConfigLoaderImpl(create_config_search_path(str(project() / "configs")))
    chosen = [f"{g}={c}" for g, c in groups if loader.repository.config_exists(f"{g}/{c}")]
    try:
        cfg = loader.load_configuration(None, [*chosen, *values], RunMode.MULTIRUN)
    except Exception:  # whatever Hydra says of values that only fit what a file has
        return {}
    return dict(leaves(plain(cfg.hydra)))
