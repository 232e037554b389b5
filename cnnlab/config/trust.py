"""Modules of one's own, whose callables a config may name where the person at the keyboard says so.

A grant is `trust=[mylab]` on the command line, or `trust=["mylab"]` in Python. A composed config
carries it as a flag of its nodes: no file can set one, and none that is written keeps it.
"""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from omegaconf import DictConfig

from cnnlab.config.kinds import check_phrase, of_default
from cnnlab.config.messages import listing, nearest, one_line, show
from cnnlab.errors import ConfigError
from cnnlab.libraries import is_library

TRUST = "trust"
_LINE = re.compile(r"[+~]*trust\s*(=|$)")
_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
_DOTTED = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_FLAG = "trust "  # and a module's name: a flag of OmegaConf's, which nodes inherit

_OF_TYPE = {bool: "true or false", int: "whole number", float: "number", str: "text"}
_VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def take_trust(lines: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """The lines of a command without its grants, and the modules that these name.

    **Raises:** `ConfigError`: not `trust=[name,...]`, or modules that can't be trusted.
    """
    grants = [line for line in lines if isinstance(line, str) and _LINE.match(line)]
    names: list[str] = []
    for line in grants:
        given = re.fullmatch(r"trust=(?:\[([\w\s,]*)\]|(\w+))", line, re.ASCII)
        if given is None:
            raise ConfigError(f"trust: expected trust=[module,...], got {show(line)}")
        names += [name.strip() for name in (given[1] or given[2] or "").split(",") if name.strip()]
    return [line for line in lines if line not in grants], check_trust(names)


def check_trust(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, where all are modules of somebody's own; nothing is imported.

    **Raises:** `ConfigError`: one that is a dotted or private name, Python's own, cnnlab's or of
    what cnnlab is made of, or that is not here as Python source.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ConfigError(f"trust: expected a list of modules, got {show(names)}")
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ConfigError(f"trust: expected names of top-level modules, got {show(name)}")
        if is_library(name):
            whose = "Python's own" if name in sys.stdlib_module_names else "what cnnlab is made of"
            raise ConfigError(
                f"trust: {name} is {whose}, which can do anything; "
                "wrap what you need of it in a module of your own"
            )
        home(name)
    return found


def home(name: str) -> str:
    """The source file of a top-level module, found without importing it.

    **Raises:** `ConfigError`: there is none.
    """
    try:
        spec = importlib.util.find_spec(name)
    except (ValueError, ImportError):
        spec = None
    if spec is None:
        raise ConfigError(f"trust: no module {name} is here; install it, or put it on PYTHONPATH")
    if not (spec.has_location and spec.origin and spec.origin.endswith(".py")):
        what = "a folder without __init__.py" if spec.origin is None else "not Python source"
        raise ConfigError(f"trust: {name} is {what}; expected a module or a package")
    return spec.origin


def grant(cfg: DictConfig, names: Iterable[str]) -> None:
    """Let a config and its nodes name what these modules define, in place."""
    for name in names:
        cfg._set_flag(f"{_FLAG}{name}", True)


def granted(cfg: object) -> tuple[str, ...]:
    """The modules that a config, or the one that it is a node of, was granted."""
    flags = cfg._get_root()._metadata.flags or {} if isinstance(cfg, DictConfig) else {}
    own = (flag for flag, value in flags.items() if flag.startswith(_FLAG) and value)
    return tuple(flag.removeprefix(_FLAG) for flag in own)


def refuse_grants(tree: Mapping[str, object]) -> None:
    """Refuse a config that would grant trust itself.

    **Raises:** `ConfigError`.
    """
    if TRUST in tree:
        raise ConfigError(
            "trust: no config can grant it; only you can, trust=[module] on the command line, "
            'trust=["module"] in Python'
        )


def is_own(target: object, trust: Iterable[str]) -> bool:
    """Whether a target's text is a name in a trusted module: no part of it is private."""
    own = isinstance(target, str) and _DOTTED.fullmatch(target) is not None
    return own and str(target).partition(".")[0] in trust


def how_to_trust(target: object) -> str:
    """What to type to be given a target; empty where nothing would help."""
    if not (isinstance(target, str) and _DOTTED.fullmatch(target)):
        return ""
    top = target.partition(".")[0]
    return "" if is_library(top) else f"; if {top} is code that you trust, say so: trust=[{top}]"


def own_target(target: str, key: str) -> Callable[..., Any]:
    """The class or function that a target of a trusted module names, imported.

    **Raises:** `ConfigError`: the import fails, there is nothing of this name, or what is there was
    defined elsewhere: `mylab.Popen` is not mylab's because mylab imports it.
    """
    place, _, name = target.rpartition(".")
    top = target.partition(".")[0]
    try:
        module = importlib.import_module(place)
    except Exception as error:  # whatever the module does when it is imported
        what = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"{key}: {place} can't be imported ({what})") from error
    found = getattr(module, name, None)
    if not callable(found) or inspect.ismodule(found) or not _is_of(found, top):
        own = [n for n, v in vars(module).items() if callable(v) and _is_of(v, top)]
        own = [n for n in own if not n.startswith("_")]
        close = nearest(name, own)
        hint = f"did you mean {place}.{close}?" if close else f"it has {listing(own) or 'none'}"
        what = "nothing of this name" if found is None else "nothing of this name of its own"
        raise ConfigError(f"{key}: {show(target)} is refused; {place} has {what} to call; {hint}")
    return found


def own_arguments(target: str, key: str) -> dict[str, str]:
    """The arguments of a target of a trusted module, each with its kind: from its annotation, a
    phrase of `config.kinds` (`Annotated[int, "whole number >= 1"]`) or a plain type, else from its
    default.

    **Raises:** `ConfigError`, as `own_target`.
    """
    found = own_target(target, key)
    try:
        parameters = inspect.signature(found, eval_str=True).parameters
    except Exception:  # an annotation that can't be evaluated, such as a shape's
        try:
            parameters = inspect.signature(found).parameters
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key}: {show(target)}: {one_line(error)}") from error
    return {
        name: _kind(parameter) for name, parameter in parameters.items()
        if parameter.kind not in (*_VARIADIC, inspect.Parameter.POSITIONAL_ONLY)
    }  # fmt: skip


def _is_of(thing: object, top: str) -> bool:
    return str(getattr(thing, "__module__", "")).partition(".")[0] == top


def _kind(parameter: inspect.Parameter) -> str:
    kind = _of_annotation(parameter.annotation)
    if kind is None:
        default = parameter.default
        return of_default(None if default is parameter.empty else default)
    return f"{kind} or null" if parameter.default is None and "null" not in kind else kind


def _of_annotation(annotation: object) -> str | None:
    """The kind that a type hint stands for, where it stands for one."""
    for said in getattr(annotation, "__metadata__", ()):
        try:
            check_phrase(said)
        except (TypeError, ValueError):
            continue
        return said
    if annotation in _OF_TYPE:
        return _OF_TYPE[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal and all(isinstance(word, str) for word in inner):
        return f"one of {', '.join(inner)}"
    return None
