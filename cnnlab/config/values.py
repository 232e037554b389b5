"""The values of a config: every plain key has a kind, written in the section `types` of its file.

A primary config (or one that it includes) says what its keys take:

    batch_size: 128
    types:
      batch_size: whole number >= 1

The section maps dotted keys to phrases of `config.kinds`; `*` stands for any one part of a key. It
is read and removed when a config is composed. A key without an entry takes what its default is.
"""

import fnmatch
from collections.abc import Iterator, Mapping

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.allowed import TARGETS
from cnnlab.config.kinds import DURATIONS, check_phrase, of_default, read_value
from cnnlab.config.messages import listing, show
from cnnlab.config.targets import read_nodes
from cnnlab.config.tree import MISSING, find, has, is_interpolation, is_open, plain
from cnnlab.config.trust import granted
from cnnlab.errors import ConfigError

SECTION = "types"
Types = Mapping[str, str]


def take_types(cfg: DictConfig) -> Types:
    """Remove the section of a composed config, and give it.

    **Raises:** `ConfigError`: a phrase that means nothing.
    """
    if SECTION not in cfg:
        return {}
    types = plain(cfg)[SECTION] or {}
    with open_dict(cfg):
        del cfg[SECTION]
    for key, kind in types.items():
        try:
            check_phrase(kind)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{SECTION}.{key}: {error}") from None
    return types


def kind_of(key: str, types: Types) -> str | None:
    """The kind that is written for a key."""
    if key in types:
        return types[key]
    found = (k for pattern, k in types.items() if "*" in pattern and _matches(key, pattern))
    return next(found, None)


def plain_groups(types: Types) -> set[str]:
    """Groups of which a config holds a few settings (`data.size` of `evaluate`), not a node."""
    return {key.partition(".")[0] for key in types if "." in key} & TARGETS.keys()


def kinds(tree: Mapping[str, object], types: Types, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(key, kind) of the plain keys of a config, groups left out; what has no kind written, gets
    that of its value."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        kind = kind_of(key, types)
        if not prefix and name in TARGETS and name not in plain_groups(types):
            continue
        if kind is not None:
            yield key, kind
        elif name in DURATIONS and set(DURATIONS) <= set(tree):
            yield key, DURATIONS[name]
        elif isinstance(value, Mapping) and value:
            yield from kinds(value, types, f"{key}.")
        else:
            yield key, of_default(value)


def settle_values(cfg: DictConfig, base: DictConfig, types: Types) -> None:
    """Check every value of a config, and put it in its proper type, in place.

    What is missing (`???`) is passed over.

    **Arguments:** `base`, the config as its files have it, whose values are the defaults.

    **Raises:** `ConfigError`: a value of another kind, a key that is gone, or a wrong node.
    """
    tree, defaults = _resolved(cfg), _resolved(base)
    for key, kind in kinds(defaults, types):
        if not has(tree, key):
            _refuse_above(tree, defaults, key)
        _settle(cfg, key, kind, find(tree, key), types)
    for key, node in read_nodes(tree, plain_groups(types), granted(cfg)):
        given = find(tree, key)
        for name, good in node.items():
            _replace(cfg, f"{key}.{name}", given[name], good)


def _settle(cfg: DictConfig, key: str, kind: str, value: object, types: Types) -> None:
    if value == MISSING or is_interpolation(value):
        return
    good = read_value(kind, value, key)
    _replace(cfg, key, value, good)
    for name, item in good.items() if isinstance(good, Mapping) else ():
        inner = kind_of(f"{key}.{name}", types)
        if inner is not None:
            _settle(cfg, f"{key}.{name}", inner, item, types)


def _replace(cfg: DictConfig, key: str, old: object, new: object) -> None:
    if repr(old) != repr(new):
        OmegaConf.update(cfg, key, new, merge=False)


def _refuse_above(tree: Mapping[str, object], base: Mapping[str, object], key: str) -> None:
    """A key is gone because a mapping above it is."""
    missing = above = key
    while not has(tree, above):
        missing, above = above, above.rpartition(".")[0]
        if not above:
            raise ConfigError(f"{missing}: required; it cannot be deleted")
    value = find(tree, above)
    if isinstance(value, Mapping):
        raise ConfigError(f"{missing}: required; it cannot be deleted")
    names = listing(find(base, above))
    raise ConfigError(f"{above}: expected a mapping ({names}), got {show(value)}")


def _resolved(cfg: DictConfig) -> dict[str, object]:
    """The tree with its interpolations' values, where they have one."""
    return {name: _resolved_at(name, value, cfg) for name, value in plain(cfg).items()}


def _resolved_at(key: str, node: object, cfg: DictConfig) -> object:
    if isinstance(node, Mapping):
        return {k: _resolved_at(f"{key}.{k}", v, cfg) for k, v in node.items()}
    if isinstance(node, list):
        return [_resolved_at(f"{key}.{i}", v, cfg) for i, v in enumerate(node)]
    if is_interpolation(node) and not is_open(node):
        try:
            found = OmegaConf.select(cfg, key)
        except OmegaConfBaseException:
            return node  # refused with its own message
        return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
    return node


def _matches(key: str, pattern: str) -> bool:
    parts, patterns = key.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))
