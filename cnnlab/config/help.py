"""The text of `--help`: groups with their choices, keys with their kinds, example commands."""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnlab.config.allowed import SEVERAL, TARGETS
from cnnlab.config.declared import declared
from cnnlab.config.kinds import DURATIONS
from cnnlab.config.messages import show
from cnnlab.config.source import Source
from cnnlab.config.targets import PARTIAL, TARGET, arguments_of
from cnnlab.config.tree import plain
from cnnlab.config.values import SECTION, Types, kind_of
from cnnlab.console import program
from cnnlab.errors import ConfigError

_FLAGS = """\
  -m, --multirun      run all combinations of the values in key=a,b,c (a sweep)
  --cfg job           print the configuration and stop; --resolve fills in its references,
                      -p KEY prints a part of it
  --info [WHAT]       print where configs come from: all, config, defaults, defaults-tree, plugins,
                      searchpath
  -cn NAME, -cd DIR   another primary config; one more directory of configs
  trust=[NAME,...]    modules of your own whose classes and functions configs may name; a config
                      can't grant that itself
  --hydra-help, --version, --shell-completion
                      Hydra's own settings, its version, completion for the shell"""


def help_text(
    source: Source,
    task: Callable[..., object],
    examples: Sequence[str],
    overrides: Sequence[str],
) -> str:
    """The whole page.

    **Arguments:** `task`, whose docstring it begins with; `examples`, arguments of the example
    commands; `overrides`: group choices given along with `--help` show their keys.
    """
    cfg = source.load(tuple(overrides), sweep=True)
    tree = plain(cfg)
    chosen = tree.pop("hydra")["runtime"]["choices"]
    types = tree.pop(SECTION, None) or {}
    # Hydra does not report the choices of a group that takes a list: they show as its keys.
    lists = {group: list(tree[group] or ()) for group in tree if group in SEVERAL}
    chosen = {**{g: names for g, names in lists.items() if g not in chosen}, **chosen}
    groups = {group: source.choices(group) for group in source.groups() if group in chosen}
    keys = {k: v for k, v in tree.items() if k not in groups}
    command = program()
    examples = list(examples) or _examples(groups, chosen, keys)
    slots = ["[group=choice ...]"] * bool(groups) + ["[key=value ...]"] * bool(keys)
    about = inspect.getdoc(task) or inspect.getdoc(sys.modules.get(task.__module__)) or ""
    parts = [
        " ".join([f"usage: {command} [flags]", *slots]),
        about.split("\n\n")[0],
        _section(
            "Groups, group=choice (* is the default; group.key=value sets one of its values):",
            [_group_line(g, options, chosen.get(g)) for g, options in groups.items()],
        ),
        _section("Keys, key=value:", _key_lines(keys, types, _comments(source))),
        _section(
            "Values of the groups chosen here, group.key=value:",
            _group_values(tree, keys, source.trust),
        ),
        _section("Examples:", [f"  {command} {example}".rstrip() for example in examples]),
        _section("Flags:", [_FLAGS]),
    ]
    return "\n\n".join(part for part in parts if part)


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, *lines]) if lines else ""


def _group_line(group: str, options: Sequence[str], chosen: object) -> str:
    several = chosen if isinstance(chosen, list) else [chosen]
    names = ", ".join(f"*{o}" if o in several else o for o in options)
    if several is chosen:
        names += f" (a list, {group}=[{','.join(options[:2])}])"
    return textwrap.fill(
        names, 100, initial_indent=f"  {group:<12} ", subsequent_indent=" " * 15,
        break_on_hyphens=False,
    )  # fmt: skip


def _key_lines(keys: dict[str, object], types: Types, comments: dict[str, str]) -> list[str]:
    lines = []
    for key, value in keys.items():
        kind = kind_of(key, types) or (DURATIONS if set(DURATIONS) <= set(keys) else {}).get(key)
        if kind is None and isinstance(value, dict) and set(value) == set(DURATIONS):
            kind = f"one of {', '.join(f'{key}.{unit}' for unit in DURATIONS)}"
            value = {unit: length for unit, length in value.items() if length is not None}
        elif isinstance(value, dict) and (inner := [k for k in value if f"{key}.{k}" in types]):
            nested = {f"{key}.{k}": value[k] for k in inner}
            about = {k: "; ".join(comments[c] for c in (key, k) if c in comments) for k in nested}
            lines += _key_lines(nested, types, about)
            continue
        about = [part for part in (kind, comments.get(key)) if part]
        lines.append(_line(f"{key}={_inline(value)}", "; ".join(about)))
    return lines


def _kinds(target: object, group: str, trust: Collection[str]) -> Mapping[str, str]:
    """Of a target's arguments; none of what the config could not name."""
    try:
        return arguments_of(target, group, group, trust)
    except ConfigError:
        return {}


def _group_values(
    tree: Mapping[str, Any], keys: Container[str], trust: Collection[str]
) -> list[str]:
    """The arguments of the nodes that the chosen groups have, with their kinds."""
    lines = []
    for group, value in tree.items():
        if group in keys or group not in TARGETS or not value:
            continue
        nodes = (
            {f"{group}.{k}": v for k, v in value.items()} if group in SEVERAL else {group: value}
        )
        for key, node in nodes.items():
            kinds = _kinds(node.get(TARGET), group, trust)
            names = [name for name in node if name not in (TARGET, PARTIAL)]
            lines += [_line(f"{key}.{n}={_inline(node[n])}", kinds.get(n, "")) for n in names]
    return lines


def _line(setting: str, about: str) -> str:
    return textwrap.fill(
        f"{setting:<34} {about}".rstrip(), 108, initial_indent="  ",
        subsequent_indent=" " * 37, break_on_hyphens=False,
    )  # fmt: skip


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_inline(v)}" for k, v in value.items()) + "}"
    return value if isinstance(value, str) else show(value)


def _comments(source: Source) -> dict[str, str]:
    """The comments beside the top-level keys of the primary config and of the files it includes."""
    own = declared(source.name)
    found: dict[str, str] = dict(own.comments) if own else {}
    pending = list(own.include) if own else [source.name]
    while pending:
        file = Path(source.directory) / f"{pending.pop()}.yaml"
        if file.is_file():
            text = file.read_text()
            comments = re.findall(r"^(\w+):(?:[^#\n]*\s)?# *(.+)$", text, flags=re.MULTILINE)
            found = {**dict(comments), **found}
            pending += re.findall(r"^ +- (?!_self_)([\w/]+)\s*$", text, flags=re.MULTILINE)
    return found


def _examples(groups: dict, chosen: dict, keys: dict) -> list[str]:
    """Commands that work, from what there is: the defaults, one other choice, one sweep."""
    examples = [""]
    others = [f"{g}={o}" for g, os in groups.items() for o in os if o != chosen.get(g)]
    numbers = [f"{k}={v}" for k, v in keys.items() if type(v) in (int, float)]
    examples += [" ".join(others[:1] + numbers[:1])] if others or numbers else []
    several = [(g, os) for g, os in groups.items() if len(os) > 1]
    examples += [f"-m {g}={','.join(os[:2])}" for g, os in several[:1]]
    return examples
