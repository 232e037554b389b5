"""Reading a config as plain nested dicts and lists: keys and values."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, Node, OmegaConf

from cnnlab.config.targets import TARGET

MISSING = "???"
_ABSENT = object()


def plain(cfg: DictConfig, *, resolve: bool = False) -> dict[str, Any]:
    """The config as plain containers: interpolations stay strings unless `resolve`, missing values
    `'???'`."""
    container = OmegaConf.to_container(cfg, resolve=True) if resolve else _content(cfg)
    return cast(dict[str, Any], container)


def _content(node: Node) -> object:
    """As `OmegaConf.to_container`, which takes ten times as long: composing a config asks often."""
    value = node._value()
    if isinstance(value, dict):
        return {name: _content(child) for name, child in value.items()}
    return [_content(child) for child in value] if isinstance(value, list) else value


def to_yaml(cfg: DictConfig) -> str:
    """The config as the text of a YAML file."""
    return OmegaConf.to_yaml(cfg)


def find(tree: object, key: str) -> Any:
    """The value at a dotted key (list positions are numbers).

    **Raises:** `KeyError`: there is none.
    """
    for part in key.split("."):
        tree = _child(tree, part)
        if tree is _ABSENT:
            raise KeyError(key)
    return tree


def has(tree: object, key: str) -> bool:
    """Whether there is a value at a dotted key."""
    try:
        find(tree, key)
    except KeyError:
        return False
    return True


def walk(tree: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """All (dotted key, value) pairs of nested mappings, parents before children."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            key = f"{prefix}{name}"
            yield key, value
            yield from walk(value, f"{key}.")


def leaves(
    tree: Mapping[str, object] | Sequence[object], prefix: str = ""
) -> Iterator[tuple[str, object]]:
    """All (dotted key, value) pairs that are neither mappings nor lists; list items included."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    for name, value in items:
        key = f"{prefix}{name}"
        if isinstance(value, Mapping | list | tuple):
            yield from leaves(value, f"{key}.")
        else:
            yield key, value


def in_target(tree: object, key: str) -> bool:
    """Whether the value at `key` is an argument, at any depth, of a node with a `_target_`."""
    for part in key.split("."):
        if isinstance(tree, Mapping) and TARGET in tree:
            return True
        tree = _child(tree, part)
    return False


def is_interpolation(value: object) -> TypeGuard[str]:
    """Whether a value is a text with a reference to another, `${...}`."""
    return isinstance(value, str) and "${" in value


def is_open(value: object) -> bool:
    """Whether a value is an interpolation that only a running job of Hydra's can resolve."""
    return is_interpolation(value) and "${hydra:" in value and not HydraConfig.initialized()


def _child(tree: object, part: str) -> object:
    if isinstance(tree, Mapping):
        return tree.get(part, _ABSENT)
    if isinstance(tree, list | tuple) and part.isdigit() and int(part) < len(tree):
        return tree[int(part)]
    return _ABSENT
