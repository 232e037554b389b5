"""Primary configs without a YAML file: the keyword arguments of a function are the keys.

    Count = Annotated[int, "whole number >= 1"]

    def measure(cells, *, seed, draws: Annotated[Count, "random pairs"] = 60): ...

    declare("toeplitz", measure, include=["base/question"], full={"draws": 1000})

is what this file `configs/toeplitz.yaml` would be:

    defaults: [base/question, _self_]
    draws: 60            # random pairs
    full: {draws: 1000}
    types: {draws: whole number >= 1}

A default that is a dataclass, whose fields are annotated in the same way, makes a section, and so
does a mapping of such dataclasses.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import get_args, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from cnnlab.config.kinds import check_phrase
from cnnlab.console import project


@dataclass(frozen=True)
class Declared:
    """What `--help` and a composition know of a declared config: comments by key, the files that
    it includes, and a number that changes with its content."""

    comments: Mapping[str, str]
    include: tuple[str, ...]
    number: int


_DECLARED: dict[str, Declared] = {}


def declare(
    name: str,
    function: Callable[..., object],
    *,
    include: Sequence[str] = (),
    groups: Mapping[str, str] | None = None,
    full: Mapping[str, object] | None = None,
) -> None:
    """Make the arguments of a function that have a default the keys of the primary config `name`.

    **Arguments:**

    - `function`: each such argument is `name: Annotated[type, kind, comment] = default`, with a
      phrase of `config.kinds`; the comment, which may be left out, is for `--help`. A section has
      no kind: `name: Annotated[Section, comment] = Section()`. The values of a mapping have one of
      their own: `Annotated[Mapping[str, Annotated[int, kind]], "mapping of a, b"]`.
    - `include`: files of the config folder that it includes, such as `base/question`.
    - `groups`: those that it takes, with their default choices; the default of an argument of
      this name, if it has one, is what changes of the choice, `{"val_fraction": 0}`.
    - `full`: what `scale=full` changes.

    **Raises:** `TypeError`: an argument whose kind is missing or none that is known.
    """
    arguments = inspect.signature(function).parameters.items()
    defaults = {key: p.default for key, p in arguments if p.default is not p.empty}
    changed = {group: defaults.pop(group) for group in groups or {} if group in defaults}
    keys, types, comments = _settings(name, function, defaults)
    node = json.loads(json.dumps({  # tuples become lists
        "defaults": [*include, *({g: choice} for g, choice in (groups or {}).items()), "_self_"],
        **changed, **keys, "full": full or {}, "types": types,
    }))  # fmt: skip
    ConfigStore.instance().store(name, OmegaConf.create(node), provider=function.__module__)
    _DECLARED[name] = Declared(comments, tuple(include), hash(json.dumps(node)))


def _settings(
    name: str, owner: object, defaults: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, str], dict[str, str]]:
    """Values, kinds and comments of annotated arguments or fields, the last two by dotted key."""
    hints = get_type_hints(owner, include_extras=True)
    keys, types, comments = {}, {}, {}
    for key, default in defaults.items():
        said = getattr(hints.get(key), "__metadata__", ())
        if (inner := _inside(default)) is not None:
            keys[key], *of = _settings(f"{name}: {key}", type(default), inner)
            for known, found in zip((types, comments), of, strict=True):
                known.update({f"{key}.{k}": text for k, text in found.items()})
        else:
            kind, *said = said or (None,)
            try:
                check_phrase(kind)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name}: {key}: expected Annotated[..., kind], {error}") from None
            keys[key], types[key] = default, kind
            for values in get_args(hints[key].__origin__)[1:]:  # of a mapping
                of = getattr(values, "__metadata__", ())
                types.update({f"{key}.*": phrase for phrase in of[:1]})
        if said:
            comments[key] = said[0]
    return keys, types, comments


def _inside(default: object) -> Mapping[str, object] | None:
    """What a section holds; `None` of what is none."""
    if is_dataclass(default):
        return {field.name: getattr(default, field.name) for field in fields(default)}
    is_section = (
        isinstance(default, Mapping) and default and all(map(is_dataclass, default.values()))
    )
    return default if is_section else None


def declared(name: str) -> Declared | None:
    """What is known of a config that was declared; `None` where there is none of this name. The
    module of a question of the lab book declares one, and is loaded for it."""
    if name not in _DECLARED and name.isidentifier():
        questions = project() / "experiments" / "questions"
        if any(path.exists() for path in (questions / name, questions / f"{name}.py")):
            sys.path.insert(0, str(project()))  # a clone, or a wheel's: from any folder
            try:
                importlib.import_module(f"experiments.{name}")
            finally:
                sys.path.remove(str(project()))
    return _DECLARED.get(name)
