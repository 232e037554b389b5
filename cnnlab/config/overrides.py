"""Overrides as a user writes them: parsed, checked against a config, applied to it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from cnnlab.config.allowed import SEVERAL, TARGETS
from cnnlab.config.kinds import alternatives, takes_list
from cnnlab.config.messages import listing, nearest, nearest_key, one_line, shortened, show
from cnnlab.config.source import Source
from cnnlab.config.targets import TARGET
from cnnlab.config.tree import MISSING, find, has, in_target, is_interpolation, plain, walk
from cnnlab.config.values import SECTION, kind_of
from cnnlab.errors import ConfigError


def quote_home(lines: Sequence[str]) -> list[str]:
    """The overrides with quotes around a value that is a path below `~`, which Hydra's grammar and
    most shells leave as it is: `output=~/runs`.

    **Raises:** `ConfigError`: one string instead of a list.
    """
    if isinstance(lines, str):
        raise ConfigError(f"overrides: expected a list of strings, got {show(lines)}")
    home = re.compile(r"([+]*[\w.@/]+)=(~[^\s,'\"()\[\]{}]*)")
    matches = [home.fullmatch(line) if isinstance(line, str) else None for line in lines]
    return [f"{m[1]}='{m[2]}'" if m else o for m, o in zip(matches, lines, strict=True)]


def quoted(text: str) -> str:
    """A text as a value of Hydra's grammar that is taken as it is."""
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)
    return f"'{escaped}'"


def parse(lines: Sequence[str], source: Source, *, sweep: bool = False) -> list[Override]:
    """Hydra's overrides from their text.

    **Raises:** `ConfigError`: not of Hydra's grammar, or, unless for a `sweep`, several values
    (`lr=1,2`).
    """
    parser = OverridesParser.create(config_loader=source.loader)
    parsed = []
    for line in lines:
        if not isinstance(line, str):
            raise ConfigError(f"overrides: expected strings, got {show(line)}")
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            raise ConfigError(_grammar_message(line, error)) from error
        # Of a number of too many digits, hundreds of brackets, a sweep within a sweep, ...
        except Exception as error:
            raise ConfigError(f"{show(line)}: not a valid override: {one_line(error)}") from error
        override.config_loader = source.loader
        if not override.key_or_group:
            raise ConfigError(f"{shortened(line)}: expected key=value")
        if override.is_sweep_override() and not sweep:
            raise ConfigError(_several_values(override, source))
        parsed.append(override)
    return parsed


def _several_values(override: Override, source: Source) -> str:
    key, text = override.key_or_group, override.get_value_string()
    tree = plain(source.load_base())
    kind = kind_of(key, tree.get(SECTION) or {})
    advice = f"; a list is written {key}=[{text}]"
    if kind is not None and not takes_list(kind):
        words = any(part in ("text", "path", "name") for part in alternatives(kind))
        advice = f"; a value with a comma is quoted, {key}=\"'{text}'\"" if words else ""
    elif source.is_group(key):
        advice = advice if key in SEVERAL else ""
    elif not isinstance(tree.get(key), str | list):
        advice = ""
    return f"{key}: several values, {show(text)}, need a sweep (-m){advice}"


def selects_group(override: Override, source: Source) -> bool:
    """Whether the override chooses files of a group (`backbone=vgg11`), as opposed to a value."""
    is_group = override.package is not None or source.is_group(override.key_or_group)
    return is_group and not isinstance(override.value(), dict)


def is_structural(override: Override, source: Source) -> bool:
    """Whether the override is for Hydra's composition, not for our own `apply_override`."""
    return override.is_hydra_override() or selects_group(override, source)


def structural_lines(overrides: Sequence[Override], source: Source) -> tuple[str, ...]:
    """The text of the structural overrides, but for those with several values."""
    kept = (o for o in overrides if is_structural(o, source) and not o.is_sweep_override())
    return tuple(str(o.input_line) for o in kept)


def check_choice(override: Override, source: Source, base: Mapping[str, Any]) -> None:
    """Refuse a group choice that does not exist, or that `base`, the primary config, can't use.

    **Raises:** `ConfigError`.
    """
    group, value = override.key_or_group, override.value()
    line, chosen = shortened(str(override.input_line)), base["hydra"]["runtime"]["choices"]
    if not source.is_group(group):
        raise ConfigError(f"{group}: no such group{_did_you_mean(group, source.groups())}")
    listed = group in chosen or (group in SEVERAL and group in base) or group.startswith("hydra/")
    listed |= group.rpartition("/")[0] in chosen  # of some of that group's choices, as Hydra says
    if not listed and (group in TARGETS or not override.is_add()):
        keys, own = base.get(group), source.extra is not None and group not in TARGETS
        hint = f"; {group} has: {listing(keys)}" if isinstance(keys, Mapping) else ""
        hint += f"; +{group}=... adds one" if own else ""
        raise ConfigError(f"{group}: not a group of {source.name}{hint}")
    if override.is_delete():
        raise ConfigError(f"{line}: a group cannot be deleted{_choose(group, source)}")
    if override.is_force_add() or (override.is_add() and group in chosen):
        raise ConfigError(
            f"{line}: {group} is already in the defaults list; "
            f"write {group}={override.get_value_element_as_str()}"
        )
    several = isinstance(value, list)
    if several and isinstance(chosen.get(group), str):
        raise ConfigError(
            f"{group}: expected one choice, got {show(value)}{_choose(group, source)}"
        )
    if several and len(set(map(str, value))) < len(value):
        raise ConfigError(f"{group}: expected each choice once, got {show(value)}")
    for choice in value if several else [value]:
        if not isinstance(choice, str):
            text = show(choice)
            raise ConfigError(f"{group}={text}: no such choice{_choose(group, source)}")
        outside = {"", ".", ".."} & set(choice.split("/"))
        if outside or not (is_interpolation(choice) or source.has_choice(group, choice)):
            text = shortened(f"{group}={choice}")
            raise ConfigError(f"{text}: no such choice{_choose(group, source, choice)}")


def apply_override(override: Override, cfg: DictConfig, source: Source) -> None:
    """Check one value override against the config so far, then make the change in place.

    **Raises:** `ConfigError`: a key that does not exist (with the nearest one), or can't be
    deleted.
    """
    tree = plain(cfg)
    key, value = override.key_or_group, override.value()
    adds = override.is_add() or override.is_force_add()
    if override.is_delete():
        if not has(tree, key):
            raise _no_such_key(key, tree, source)
        _delete(cfg, key)
        return
    if override.is_add() and has(tree, key) and not isinstance(value, dict | list):
        text = override.get_value_string()
        raise ConfigError(
            f"{shortened(str(override.input_line))}: the key exists; write {key}={text}"
        )
    _check_value(key, value, tree, source, adds)
    try:
        merge = not isinstance(value, Mapping) or isinstance(tree_at(tree, key), Mapping)
        OmegaConf.update(cfg, key, value, merge=merge, force_add=adds)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}: {one_line(error)}") from error


def _check_value(key: str, value: object, tree: dict, source: Source, adds: bool) -> None:
    if not has(tree, key):
        if not (adds and _may_add(key, value, tree)):
            raise _no_such_key(key, tree, source, addable=not adds)
        return
    default = find(tree, key)
    if isinstance(default, Mapping) and isinstance(value, Mapping):
        for name, item in value.items():
            _check_value(f"{key}.{name}", item, tree, source, adds)
        return
    if isinstance(default, Mapping) and default and not in_target(tree, key):
        names = listing(default)
        raise ConfigError(f"{key}: expected a mapping ({names}), got {show(value)}")


def _may_add(key: str, value: object, tree: dict) -> bool:
    """An added key is read by somebody: an argument of a target, a node of a pipeline (a mapping
    of nodes with a `_target_`, or an empty one), or something below a null default."""
    parent = key.rpartition(".")[0]
    if not parent:
        return False
    if in_target(tree, key):
        return True
    while parent and not has(tree, parent):
        parent = parent.rpartition(".")[0]
    holder = find(tree, parent) if parent else tree
    if holder is None or holder == MISSING or is_interpolation(holder):
        return True
    is_node = isinstance(value, Mapping) and TARGET in value
    return isinstance(holder, Mapping) and bool(parent) and is_node


def _delete(cfg: DictConfig, key: str) -> None:
    parent, _, last = key.rpartition(".")
    if not parent:
        raise ConfigError(f"~{key}: cannot be deleted; null turns it off where it may be off")
    node = OmegaConf.select(cfg, parent)
    with open_dict(cfg):
        del node[int(last) if OmegaConf.is_list(node) else last]


def _no_such_key(key: str, tree: dict, source: Source, addable: bool = False) -> ConfigError:
    keys = [k for k, _ in walk(tree) if k.split(".")[-1] not in (TARGET, "_partial_")]
    keys += [g for g in source.groups() if g not in keys]
    # A node above the key is no answer: what it holds is.
    above = {k for k in keys if key.startswith(f"{k}.") and isinstance(tree_at(tree, k), Mapping)}
    if "/" in key:
        listed = f"groups: {listing(source.groups())}"
        return ConfigError(f"{shortened(key)}: no such group; {listed}")
    keys = [k for k in keys if k not in above]
    close = nearest_key(key, keys)
    if close is not None and close != key:
        return ConfigError(f"{shortened(key)}: no such key; did you mean {close}?")
    hint = ""
    parent = key.rpartition(".")[0]
    while parent and not isinstance(tree_at(tree, parent), Mapping):
        parent = parent.rpartition(".")[0]
    children = tree_at(tree, parent) if parent else tree
    names = listing(k for k in children if not k.startswith("_"))
    hint = f"; {parent} has: {names}" if parent else f"; there are: {names or 'none'}"
    if addable and in_target(tree, key):
        hint += f" (+{key}=... passes a further argument)"
    return ConfigError(f"{shortened(key)}: no such key{hint}")


def tree_at(tree: dict, key: str) -> Any:
    """The value at a dotted key, or None."""
    return find(tree, key) if has(tree, key) else None


def _choose(group: str, source: Source, choice: str | None = None) -> str:
    choices = source.choices(group)
    close = _did_you_mean(choice, choices) if choice is not None else ""
    return f"{close}{' ' if close else '; '}choices: {listing(choices) or 'none'}"


def _did_you_mean(name: str, candidates: Sequence[str]) -> str:
    close = nearest(name, candidates)
    return f"; did you mean {close}?" if close else ""


def _grammar_message(line: str, error: HydraException) -> str:
    index = re.match(r"([+~]*[\w.]+)\[(\d+)\](.*)", line)
    if index:
        dotted = f"{index[1]}.{index[2]}{index[3]}"
        return f"{shortened(line)}: a position is written with a dot: {shortened(dotted)}"
    name, equals, _ = line.partition("=")
    if not equals or not name:
        return f"{shortened(line)}: expected key=value, without spaces"
    reason = one_line(error).removeprefix(f"Error parsing override '{line}' ")
    if "LexerNoViableAltException" in reason:
        reason = "a character that has to be quoted"
    name, line, reason = shortened(name), shortened(line), shortened(reason, 120)
    return f"{line}: not a valid override ({reason}); quote special characters: {name}='\"...\"'"
