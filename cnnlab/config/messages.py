"""How refusals are worded: one line, the nearest valid name, values as the user wrote them."""

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

_MAX_VALUE = 60
_MAX_LISTED = 16


def show(value: Any) -> str:
    """The value as a user would write it, shortened."""
    special = {True: "true", False: "false", None: "null"}
    text = special[value] if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 3] + "..."


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

    First a sibling under the same parent, then the same last name elsewhere (`lr` ->
    `optimizer.lr`), then the most similar key as a whole (`optimzer.lr` -> `optimizer.lr`).
    """
    parent, _, last = key.rpartition(".")
    siblings = [k for k in keys if k.rpartition(".")[0] == parent]
    close = nearest(key, siblings, 0.75)
    if close is None and parent:
        close = nearest(last, [k.rpartition(".")[2] for k in siblings], 0.5)
        close = close and f"{parent}.{close}"
    if close is not None:
        return close
    similar = nearest(key, keys, 0.8)
    same_last = [k for k in keys if k.rpartition(".")[2] == last]
    if similar is not None or not same_last:
        return similar or nearest(key, keys, 0.6)
    return min(same_last, key=lambda k: (k.count("."), k))


def one_line(error: BaseException) -> str:
    """An exception's message on one line, Hydra's search paths and links left out."""
    text = str(error) or str(error.__cause__ or type(error).__name__)
    missing = re.match(r"You must specify '([^']+)'", text)
    if missing:
        group = missing[1]
        options = listing(re.findall(r"^\s+(\S+)$", text, flags=re.MULTILINE))
        return f"{group}: required, e.g. {group}=...; choices: {options}"
    not_listed = re.match(r"Could not override '([^']+)'\.\s+No match in the defaults list", text)
    if not_listed:
        return f"{not_listed[1]}: not in the defaults list; write +{not_listed[1]}=..."
    text = re.split(r"\n\s*(?:Config search path:|Search path:|See https?:)", text)[0]
    text = re.sub(r"\n\s*(?:full_key|object_type|reference_type)[:=].*", "", text)
    text = re.sub(r"\n\s*To append to your (?:config|default list) use.*", "", text)
    return re.sub(r"\s*\n\s*", " ", text.strip())
