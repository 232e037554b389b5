"""Nodes with a `_target_`: only what `config.allowed` lists is imported and called.

A config may come from elsewhere, a run directory from the network: what it names is looked up in
the list of its group, by its text, and refused before anything is imported. Beside the list, a
config may name what a module defines that the user trusts (`config.trust`).
"""

import importlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from cnnlab.config.allowed import OPTIONAL, PARTIAL_GROUPS, SEVERAL, TARGETS
from cnnlab.config.kinds import node_group, read_value
from cnnlab.config.messages import listing, nearest, show
from cnnlab.config.trust import how_to_trust, is_own, own_arguments, own_target
from cnnlab.errors import ConfigError

TARGET = "_target_"
PARTIAL = "_partial_"


def read_nodes(
    tree: Mapping[str, object], plain: Collection[str] = (), trust: Collection[str] = ()
) -> Iterator[tuple[str, dict[str, object]]]:
    """(key, node with its values in their proper types) of all groups of a config.

    **Arguments:** `plain`, groups of which this config holds a few settings, not a node; `trust`,
    modules whose callables it may name.

    Values that are missing (`???`) or interpolations stay as they are.

    **Raises:** `ConfigError`, with the key: a target that is not allowed, wherever it stands, or a
    wrong argument.
    """
    for name, value in tree.items():
        if name not in TARGETS or name in plain:
            _refuse_targets(value, str(name))
        elif name in SEVERAL:
            for part, node in _several(value, str(name)).items():
                yield f"{name}.{part}", read_node(node, str(name), f"{name}.{part}", trust)
        elif not (value is None and name in OPTIONAL):
            yield str(name), read_node(value, str(name), str(name), trust)


def read_node(node: object, group: str, key: str, trust: Collection[str] = ()) -> dict[str, object]:
    """A copy of a node, its arguments checked and in their proper types.

    **Arguments:** `group`, whose list its target has to be in unless it is of a module in `trust`;
    `key`, its dotted key, for messages.

    **Raises:** `ConfigError`: as `read_nodes`.
    """
    if not (isinstance(node, Mapping) and TARGET in node):
        raise ConfigError(f"{key}: expected a mapping with a {TARGET}, got {show(node)}")
    target = node[TARGET]
    kinds = arguments_of(target, group, key, trust)
    waits = group in PARTIAL_GROUPS
    if node.get(PARTIAL, False) is not waits:
        raise ConfigError(f"{key}.{PARTIAL}: expected {show(waits)}, got {show(node.get(PARTIAL))}")
    found = {}
    for name, value in node.items():
        if name in (TARGET, PARTIAL):
            found[name] = value
            continue
        if name not in kinds:
            raise _no_argument(str(name), kinds, target, key)
        inner = node_group(kinds[name])
        if inner is not None and isinstance(value, Mapping):
            found[name] = read_node(value, inner, f"{key}.{name}", trust)
        elif isinstance(value, str) and (value == "???" or "${" in value):
            found[name] = value
        else:
            found[name] = read_value(kinds[name], value, f"{key}.{name}")
            _refuse_targets(found[name], f"{key}.{name}")
    return found


def is_allowed(target: object, group: str) -> bool:
    """Whether a group lists a target: the one gate to what is imported and called, but for modules
    that the user trusts."""
    return isinstance(target, str) and target in TARGETS.get(group, ())


def arguments_of(
    target: object, group: str, key: str, trust: Collection[str] = ()
) -> Mapping[str, str]:
    """The arguments that a config may give to a target, with their kinds.

    **Raises:** `ConfigError`: its group does not list it, and it is not of a module in `trust`.
    """
    allowed = TARGETS.get(group, {})
    if isinstance(target, str) and is_allowed(target, group):
        return allowed[target]
    if isinstance(target, str) and group in TARGETS and is_own(target, trust):
        return own_arguments(target, f"{key}.{TARGET}")
    raise _refused(target, key, f"{group} allows {_by_module(allowed) or 'none'}", allowed)


def _by_module(targets: Iterable[str]) -> str:
    """Dotted names, those of one module together: `a.b.{c, d}, e.f`."""
    modules: dict[str, list[str]] = {}
    for target in targets:
        module, _, name = target.rpartition(".")
        modules.setdefault(module, []).append(name)
    several = lambda names: names[0] if len(names) == 1 else f"{{{', '.join(names)}}}"
    return ", ".join(f"{module}.{several(names)}" for module, names in modules.items())


def resolve_target(
    target: str, group: str, key: str, trust: Collection[str] = ()
) -> Callable[..., object]:
    """The class or function of a target in a group's list, or of a module in `trust`.

    **Raises:** `ConfigError`: any other target.
    """
    if not is_allowed(target, group) and is_own(target, trust):
        return own_target(target, f"{key}.{TARGET}")
    read_node({TARGET: target, **({PARTIAL: True} if group in PARTIAL_GROUPS else {})}, group, key)
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _several(value: object, group: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{group}: expected a list of choices, got {show(value)}")
    for name, node in value.items():
        if not (isinstance(node, Mapping) and TARGET in node):
            raise ConfigError(f"{group}.{name}: not chosen; choose it with {group}=[{name},...]")
    return value


def _refuse_targets(value: object, key: str) -> None:
    for where, target in targets_in(value, key):
        raise _refused(target, where, f"only the groups {', '.join(TARGETS)} have one")


def targets_in(node: object, key: str) -> Iterator[tuple[str, object]]:
    """(dotted key of a node, its `_target_`) of all nodes within one; `key` is its own."""
    if isinstance(node, Mapping):
        if TARGET in node:
            yield key, node[TARGET]
        for name, value in node.items():
            yield from targets_in(value, f"{key}.{name}")
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from targets_in(value, f"{key}.{i}")


def _refused(
    target: object, key: str, why: str, allowed: Mapping[str, object] | None = None
) -> ConfigError:
    close = nearest(target, allowed or ()) if isinstance(target, str) else None
    hint = f"; did you mean {close}?" if close else how_to_trust(target)
    return ConfigError(f"{key}.{TARGET}: {show(target)} is refused; {why}{hint}")


def _no_argument(name: str, kinds: Mapping[str, str], target: str, key: str) -> ConfigError:
    close = nearest(name, kinds)
    hint = f"did you mean {close}?" if close else f"arguments: {listing(kinds) or 'none'}"
    called = target.rpartition(".")[2]
    return ConfigError(f"{key}.{name}: {called} has no such argument; {hint}")
