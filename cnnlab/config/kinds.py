"""Kinds of values, each written as an English phrase.

The phrase is at once the type in a config's `types` section, the text in `--help`, and what a
refusal says was expected. Phrases are made of

- `whole number`, `even whole number`, `odd whole number`, `channel count`, `number`, each also with
  a range: `>= 1`, `> 0`, `from 0 to 1`, `from 0 to below 1`, `above 0 to 1`, `above 0 to below 1`;
- `true or false`; `null`; a literal word in quotes, `'auto'`; `one of last, best`;
- `text`; `name`, one component of a path; `path`, whose `~` becomes the home directory; `data set
  name`, as TFDS writes it;
- `list of whole numbers >= 1`, `list of 2 numbers`, `list of at least 1 names`, `increasing list of
  ...`, `list of different ...`, `list of lists of 2 whole numbers >= 1`; items of two kinds with
  `and`: `list of whole numbers >= 1 and 'M'`;
- `some of a, b`: a list of these, at least one; `any of a, b`: or none; one may stand without
  brackets;
- `duration`: a mapping with at most one of steps, epochs and examples that is not null;
- `mapping`; `mapping of start, steps`: with exactly these keys;
- `mapping whose _target_ is an activation of jax.nn`: a node that the group `activation` allows
  (`config.targets`);

and of these with ` or ` between them: `whole number >= 1 or null`.

A kind gives a value back in its proper type: 64.0 and 1e2 become whole numbers, true is not a
number, "1" is not one either, and no number is NaN or infinite.
"""

import re
from typing import Any

from cnnlab.config.messages import nearest, show
from cnnlab.config.vocabulary import DURATIONS, NODE, Wrong, alternatives, reader
from cnnlab.errors import ConfigError

__all__ = [
    "DURATIONS",
    "alternatives",
    "check_phrase",
    "choices",
    "node_group",
    "of_default",
    "read_value",
    "takes_list",
]

_ARTICLES = (
    (re.compile("even|odd|increasing"), "an "),
    (
        re.compile(
            "whole number|channel count|number|list|name|path|data set name|mapping|duration"
        ),
        "a ",
    ),
)


def read_value(kind: str, value: object, key: str) -> Any:
    """The value, in the type that its kind gives it.

    **Arguments:** `kind`, a phrase; `key`, the value's dotted key, for the message.

    **Raises:** `ConfigError`, one line: `key: expected a whole number >= 1, got 2.5`.
    """
    try:
        return reader(kind)(value)
    except Wrong as wrong:
        text = f"expected {with_article(wrong.expected)}, got {show(wrong.value)}"
        close = nearest(wrong.value, choices(kind)) if isinstance(wrong.value, str) else None
        hint = f"; did you mean {close}?" if close not in (None, wrong.value) else ""
        raise ConfigError(f"{key}{wrong.place}: {text}{hint}") from None


def check_phrase(kind: object) -> None:
    """Refuse what is no phrase.

    **Raises:** `TypeError`: no text. `ValueError`: a text that is none.
    """
    if not isinstance(kind, str):
        raise TypeError(f"got {kind!r}")
    reader(kind)


def choices(kind: str) -> list[str]:
    """The values that a phrase lists, as they are typed on the command line."""
    found = []
    for part in alternatives(kind):
        match = re.fullmatch(r"(?:one|some|any) of (.+)", part)
        if match:
            found += match[1].split(", ")
        elif part == "true or false":
            found += ["true", "false"]
        elif part == "null":
            found.append("null")
        elif re.fullmatch(r"'[^']+'", part):
            found.append(part[1:-1])
    return found


def takes_list(kind: str) -> bool:
    """Whether a list may be given."""
    return any(re.match(r"(increasing )?list of|some of|any of", p) for p in alternatives(kind))


def node_group(kind: str) -> str | None:
    """The group of targets from which a node may stand for the value, if any."""
    found = (NODE.fullmatch(part) for part in alternatives(kind))
    return next((match[1] for match in found if match), None)


def of_default(value: object) -> str:
    """The kind of a key that has none written: the kind of its default, or null."""
    if isinstance(value, bool):
        return "true or false or null"
    if isinstance(value, int | float):
        return "number or null"
    if isinstance(value, str) and value != "???":
        return "text or null"
    if isinstance(value, list) and value:
        kinds = {of_default(item) for item in value}
        if kinds == {"number or null"}:
            return "list of numbers or null"
        if kinds == {"text or null"}:
            return "list of texts or null"
    return "list of anything or null" if isinstance(value, list) else "anything"


def with_article(kind: str) -> str:
    """A phrase as it stands in a sentence: `a whole number >= 1`."""
    for pattern, article in _ARTICLES:
        if pattern.match(kind):
            return article + kind
    return kind
