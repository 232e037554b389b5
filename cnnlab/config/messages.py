"""How refusals are worded: one line, the nearest valid name, values as the user wrote them."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from yaml import MarkedYAMLError

from cnnlab.errors import ConfigError

_MAX_VALUE = 60
_MAX_LISTED = 16

# What Hydra says in many lines, said in one that begins with the key.
_REWORDED = (
    (r"You must specify '([^']+)'", "{0}: required, e.g. {0}=...; choices: {options}"),
    (
        r"Could not override '((?!hydra/)[^'/]+)/([^']+)'\.\s+No match in the defaults list",
        "{0}/{1}: the {0} that is chosen has no {1} to choose",
    ),
    (r"Multiple values for (\S+)\.\s+To override", "{0}: already chosen; write {0}=..."),
    (
        r"Could not override '([^']+)'\.\s+No match in the defaults list",
        "{0}: not in the defaults list; write +{0}=...",
    ),
    (
        r"Could not override '([^']+)'\.\s+Did you mean to override (\S+)\?",
        "{0}: not in the defaults list; did you mean {1}?",
    ),
    (r"Could not override '([^']+)'", "{0}: no such key"),
    (r"Could not delete from config\. '([^']+)' does not exist", "{0}: no such key"),
    (r"Error merging override ([^=]+)=", "{0}: {cause}"),
    (
        r"In '([^']+)': Could not find '([^']+)/([^'/]+)'\s+Available options",
        "{1}={2}: no such choice (named in {0}); choices: {options}",
    ),
)


def show(value: object) -> str:
    """The value as a user would write it, shortened."""
    return shortened(repr(value) if isinstance(value, str) else _text(value))


def shortened(text: str, most: int = _MAX_VALUE) -> str:
    """The text, the end of a long one left out, characters that can't be printed as `\\t`."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: most + 1])
    return text if len(text) <= most else text[: most - 3] + "..."


def _text(value: object) -> str:
    if isinstance(value, bool | None):
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    if isinstance(value, int) and value.bit_length() > 1_000:  # Python won't write the longest
        return f"a number of {value.bit_length():,} bits"
    return str(value)


def listing(names: Iterable[str]) -> str:
    """Names with commas, the first few of many."""
    names = list(names)
    more = ["..."] if len(names) > _MAX_LISTED else []
    return ", ".join([*names[:_MAX_LISTED], *more])


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The candidate most like `name` (difflib's ratio), or None where none comes near."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def nearest_key(key: str, keys: Sequence[str]) -> str | None:
    """The dotted key that `key` was probably meant to be.

    First a sibling under the same parent; then, where there is no such parent, the most similar
    key as a whole (`optimzer.lr` -> `optimizer.lr`); then the same last name elsewhere (`lr` ->
    `optimizer.lr`).
    """
    parent, _, last = key.rpartition(".")
    siblings = [k for k in keys if k.rpartition(".")[0] == parent]
    close = nearest(last, [k.rpartition(".")[2] for k in siblings])
    if close is not None:
        return f"{parent}.{close}" if parent else close
    same_last = [k for k in keys if k.rpartition(".")[2] == last]
    similar = None if siblings else nearest(key, keys)
    return similar or min(same_last, key=lambda k: (k.count("."), k), default=None)


def one_line(error: BaseException) -> str:
    """An exception's message on one line, Hydra's search paths and links left out."""
    text = str(error) or str(error.__cause__ or type(error).__name__)
    for pattern, message in _REWORDED:
        match = re.match(pattern, text)
        if match:
            options = listing(re.findall(r"^\s+(\S+)$", text, flags=re.MULTILINE))
            cause = str(error.__cause__ or "not possible").splitlines()[0]
            return message.format(*match.groups(), options=options, cause=cause)
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: {error.problem}"
    text = re.split(r"\n\s*(?:Config search path:|Search path:|See https?:)", text)[0]
    text = re.sub(r"\n\s*(?:full_key|object_type|reference_type)[:=].*", "", text)
    text = re.sub(r"\n\s*To append to your (?:config|default list) use.*", "", text)
    return re.sub(r"\s*\n\s*", " ", text.strip())


@contextmanager
def config_errors(prefix: str = "") -> Iterator[None]:
    """Turns a ValueError from within, whose message begins with a key, into a ConfigError; the key
    gets the `prefix`."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from error
