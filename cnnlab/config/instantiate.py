"""The one place that makes objects from config nodes."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.messages import listing, nearest, show
from cnnlab.config.targets import PARTIAL, TARGET, resolve_target
from cnnlab.errors import ConfigError

_VARIADIC = inspect.Parameter.VAR_KEYWORD
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


def instantiate(
    node: Any, *, key: str, optional: Mapping[str, Any] | None = None, **kwargs: Any
) -> Any:
    """The object that a config node describes.

    A mapping with a `_target_` becomes the result of calling it with the mapping's other entries
    (nodes among them first become objects themselves) and `kwargs`; with `_partial_: true`, a
    `functools.partial` that waits for the rest. Mappings and lists without one become dicts and
    lists, other values stay as they are.

    **Arguments:** `key`, the node's dotted key, for messages; `kwargs`, arguments that the program
    gives; `optional`, arguments that it gives where the target's signature names them.

    Raises ConfigError: a target that is not allowed, an argument that the target does not have
    (with the nearest one), that it lacks, or that both the config and the program give. A
    ValueError or TypeError from the target, whose message begins with the argument's name, becomes
    `<key>.<message>`; also later, from the call of a partial.
    """
    try:
        if isinstance(node, DictConfig | ListConfig):
            node = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error
    if (kwargs or optional) and not (isinstance(node, Mapping) and TARGET in node):
        raise ConfigError(f"{key}: expected a mapping with a {TARGET}, got {show(node)}")
    return _make(node, key, kwargs, optional or {})


def _make(node: Any, key: str, given: Mapping[str, Any], optional: Mapping[str, Any]) -> Any:
    if isinstance(node, Mapping):
        if TARGET in node:
            return _call(node, key, given, optional)
        return {name: _make(item, f"{key}.{name}", {}, {}) for name, item in node.items()}
    if isinstance(node, list | tuple):
        return [_make(item, f"{key}[{i}]", {}, {}) for i, item in enumerate(node)]
    return node


def _call(
    node: Mapping[str, Any], key: str, given: Mapping[str, Any], optional: Mapping[str, Any]
) -> Any:
    target = resolve_target(node[TARGET], key)
    partial = node.get(PARTIAL, False)
    if not isinstance(partial, bool):
        raise ConfigError(f"{key}.{PARTIAL}: expected true or false, got {show(partial)}")
    parameters = inspect.signature(target).parameters
    given = {**{k: v for k, v in optional.items() if k in parameters}, **given}
    configured = [name for name in node if name not in (TARGET, PARTIAL)]
    for name in configured:
        if name in given:
            raise ConfigError(f"{key}.{name}: set by the program, it cannot be configured here")
        _check_argument(name, parameters, target, key)
    for name in given:
        if not _accepts(name, parameters):
            raise ConfigError(
                f"{key}.{TARGET}: {node[TARGET]} does not fit here; it has no argument {name!r}"
            )
    arguments = {name: _make(node[name], f"{key}.{name}", {}, {}) for name in configured}
    arguments = {**arguments, **given}
    call = _Named(target, key)
    if partial:
        return functools.partial(call, **arguments)
    for name, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty
        if required and _accepts(name, parameters) and name not in arguments:
            raise ConfigError(f"{key}.{name}: required by {node[TARGET]}")
    return call(**arguments)


def _accepts(name: str, parameters: Mapping[str, inspect.Parameter]) -> bool:
    kinds = [p.kind for p in parameters.values()]
    named = name in parameters and parameters[name].kind not in (*_POSITIONAL, _VARIADIC)
    return named or (_VARIADIC in kinds and name not in parameters)


def _check_argument(
    name: str, parameters: Mapping[str, inspect.Parameter], target: Any, key: str
) -> None:
    if _accepts(name, parameters) and not name.startswith("_"):
        return
    names = [n for n in parameters if _accepts(n, parameters)]
    close = nearest(name, names)
    hint = f"did you mean {close}?" if close else f"arguments: {listing(names) or 'none'}"
    raise ConfigError(f"{key}.{name}: {target.__name__} has no such argument; {hint}")


class _Named:
    """A target whose refusals of its arguments name the config key."""

    def __init__(self, target: Callable[..., Any], key: str) -> None:
        functools.update_wrapper(self, target, updated=())
        self._target = target
        self._key = key

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self._target(*args, **kwargs)
        except ConfigError:
            raise
        except (ValueError, TypeError) as error:
            raise ConfigError(self._message(error)) from error

    def __reduce__(self) -> tuple[type, tuple[Callable[..., Any], str]]:
        return type(self), (self._target, self._key)

    def _message(self, error: Exception) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        first = text.replace("[", ":").replace(".", ":").split(":")[0]
        known = first in inspect.signature(self._target).parameters
        return f"{self._key}.{text}" if known else f"{self._key}: {text}"
