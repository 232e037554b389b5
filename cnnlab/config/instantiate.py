"""The one place that makes objects from config nodes."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.kinds import node_group
from cnnlab.config.targets import PARTIAL, TARGET, arguments_of, read_node, resolve_target
from cnnlab.config.trust import granted
from cnnlab.errors import ConfigError

_VARIADIC = inspect.Parameter.VAR_KEYWORD
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


def instantiate(
    node: object,
    *,
    key: str,
    group: str | None = None,
    optional: Mapping[str, object] | None = None,
    **kwargs: object,
) -> Any:
    """The object that a config node describes.

    The node's `_target_`, which its group has to list (`config.allowed`), or a module to define
    that the config was granted (`config.trust`), is called with the node's other entries (nodes
    among them first become objects themselves) and `kwargs`; with `_partial_: true`, the result is
    a `functools.partial` that waits for the rest.

    **Arguments:**

    - `node`: a config node, or a mapping that is like one.
    - `key`: its dotted key, for messages; `group`: if it is not the first part of the key.
    - `kwargs`: arguments that the program gives.
    - `optional`: arguments that it gives where the target's signature names them.

    **Raises:** `ConfigError`: a target that is not allowed, an argument of the wrong kind, one that
    the target does not have (with the nearest one) or that it lacks. A ValueError or TypeError from
    the target, whose message begins with the argument's name, becomes `<key>.<message>`; also
    later, from the call of a partial.
    """
    trust = granted(node)
    try:
        if isinstance(node, DictConfig):
            node = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error
    group = key.split(".")[0] if group is None else group
    return _call(read_node(node, group, key, trust), group, key, trust, kwargs, optional or {})


def _call(
    node: Mapping[str, Any],
    group: str,
    key: str,
    trust: Collection[str],
    given: Mapping[str, object],
    optional: Mapping[str, object],
) -> Any:
    target = resolve_target(node[TARGET], group, key, trust)
    parameters = inspect.signature(target).parameters
    given = {**{k: v for k, v in optional.items() if k in parameters}, **given}
    for name in given:
        if not _accepts(name, parameters):
            raise ConfigError(
                f"{key}.{TARGET}: {node[TARGET]} does not fit here; it has no argument {name!r}"
            )
    arguments = {}
    for name, value in node.items():
        if isinstance(value, Mapping) and TARGET in value:
            inner = node_group(arguments_of(node[TARGET], group, key, trust)[name])
            assert inner is not None  # or the node had been refused
            arguments[name] = _call(value, inner, f"{key}.{name}", trust, {}, {})
        elif name not in (TARGET, PARTIAL):
            arguments[name] = value
    arguments = {**arguments, **given}
    call = _Named(target, key)
    if node.get(PARTIAL):
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


class _Named:
    """A target whose refusals of its arguments name the config key."""

    def __init__(self, target: Callable[..., object], key: str) -> None:
        functools.update_wrapper(self, target, updated=())
        self._target = target
        self._key = key

    def __call__(self, *args: object, **kwargs: object) -> object:
        try:
            return self._target(*args, **kwargs)
        except ConfigError:
            raise
        except (ValueError, TypeError) as error:
            raise ConfigError(self._message(error)) from error
        except MemoryError as error:
            raise ConfigError(f"{self._key}: too large for the memory here: {error}") from error

    def __reduce__(self) -> tuple[type, tuple[Callable[..., object], str]]:
        return type(self), (self._target, self._key)

    def _message(self, error: Exception) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        first = text.replace("[", ":").replace(".", ":").split(":")[0]
        known = first in inspect.signature(self._target).parameters
        return f"{self._key}.{text}" if known else f"{self._key}: {text}"
