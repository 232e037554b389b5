"""The words of which kinds of values are written (`config.kinds`), and how each reads a value."""

import functools
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

Reader = Callable[[object], Any]  # what it gives is of the type that its phrase says

_MOST = {"whole number": 2**31 - 1, "channel count": 2**16, "number": 3e38}  # the last: float32
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)"
NODE = re.compile(r"mapping whose _target_ is an? (\w+) of [\w.]+")
DURATIONS = {
    "epochs": "number > 0 or null",
    "steps": "whole number >= 1 or null",
    "examples": "whole number >= 1 or null",
}
_RANGES: tuple[tuple[str, Callable[..., bool]], ...] = (
    (rf">= {_NUMBER}", lambda x, a: x >= a),
    (rf"> {_NUMBER}", lambda x, a: x > a),
    (rf"from {_NUMBER} to {_NUMBER}", lambda x, a, b: a <= x <= b),
    (rf"from {_NUMBER} to below {_NUMBER}", lambda x, a, b: a <= x < b),
    (rf"above {_NUMBER} to {_NUMBER}", lambda x, a, b: a < x <= b),
    (rf"above {_NUMBER} to below {_NUMBER}", lambda x, a, b: a < x < b),
)
_PLURALS = (
    (re.compile(r"^lists of "), "list of "),
    (re.compile(r"^((?:even |odd )?(?:whole number|channel count|number))s"), r"\1"),
    (re.compile(r"^(name|text|path)s"), r"\1"),
)


class Wrong(Exception):
    """A value is not of a kind: what was expected of it, and where in it (`[3]`, `.steps`)."""

    def __init__(self, value: object, expected: str, place: str = "") -> None:
        super().__init__(expected)
        self.value, self.expected, self.place = value, expected, place


def alternatives(kind: str) -> list[str]:
    """The parts between which ` or ` stands; `true or false` is one part."""
    return re.split(r"(?<!\btrue) or (?!false\b)", kind)


@functools.cache
def reader(kind: str) -> Reader:
    """What reads a value of a kind: gives it back in its proper type, or raises `Wrong`.

    **Raises:** `ValueError`: a phrase that is no kind.
    """
    parts = alternatives(kind)
    readers = [_single(part) for part in parts]
    if len(readers) == 1:
        return readers[0]

    def union(value: object) -> Any:
        within = []
        for part, read in zip(parts, readers, strict=True):
            try:
                return read(value)
            except Wrong as wrong:
                # What is wrong inside a list says more than that it is not the list.
                within += [wrong] if wrong.place or wrong.expected != part else []
        raise within[0] if len(within) == 1 else Wrong(value, kind)

    return union


def _single(kind: str) -> Reader:
    if kind in _WORDS:
        return _WORDS[kind]
    for pattern, make in _PATTERNS:
        match = pattern.fullmatch(kind)
        if match:
            return make(kind, *match.groups())
    raise ValueError(f"{kind!r} is no kind of value")


def _refuse_unless(good: Callable[[object], bool], kind: str) -> Reader:
    def read(value: object) -> Any:
        if not good(value):
            raise Wrong(value, kind)
        return value

    return read


def _path(value: object) -> str:
    good = isinstance(value, str) and value.strip() and value.isprintable()
    if not (good and len(os.fsencode(value)) < 4096 and all(map(_fits, value.split("/")))):
        raise Wrong(value, "path")
    return os.path.expanduser(value)


def _fits(component: str) -> bool:
    return len(component.encode()) <= 255


def _is_name(value: object) -> bool:
    if not (isinstance(value, str) and value.strip() and value.isprintable()):
        return False
    # A run directory's other files get endings: some room is left.
    fits = len(value.encode()) <= 200
    return fits and value not in (".", "..") and not set(value) & {"/", "\\"}


def _is_data_set(value: object) -> bool:
    return isinstance(value, str) and bool(
        re.fullmatch(r"\w{1,100}(/\w[\w.-]{0,99})?(:\d+\.\d+\.\d+)?", value, re.ASCII)
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 4096 and "\0" not in value


def _duration(value: object) -> dict[str, object]:
    if not (isinstance(value, Mapping) and set(value) <= set(DURATIONS)):
        raise Wrong(value, f"duration ({', '.join(DURATIONS)})")
    found = {}
    for unit, number in value.items():
        try:
            found[unit] = reader(DURATIONS[unit])(number)
        except Wrong as wrong:
            raise Wrong(wrong.value, wrong.expected, f".{unit}") from None
    if sum(number is not None for number in found.values()) > 1:
        raise Wrong(value, f"duration: one of {', '.join(DURATIONS)}")
    return found


_WORDS: dict[str, Reader] = {
    "duration": _duration,
    "anything": lambda value: value,
    "null": _refuse_unless(lambda v: v is None, "null"),
    "true or false": _refuse_unless(lambda v: isinstance(v, bool), "true or false"),
    "text": _refuse_unless(_is_text, "text"),
    "name": _refuse_unless(_is_name, "name (one component of a path)"),
    "data set name": _refuse_unless(_is_data_set, "data set name"),
    "path": _path,
    "mapping": _refuse_unless(lambda v: isinstance(v, Mapping), "mapping"),
}


def _within(test: Callable[..., bool], bounds: list[float], value: object) -> bool:
    return test(value, *bounds)


def _number(kind: str, parity: str | None, noun: str, limits: str | None) -> Reader:
    inside: Callable[[object], bool] = lambda x: True
    for pattern, test in _RANGES:
        match = re.fullmatch(pattern, limits or "")
        if match:
            inside = functools.partial(_within, test, [float(bound) for bound in match.groups()])
    most, whole = _MOST[noun], noun != "number"
    odd = {"even ": 0, "odd ": 1}.get(parity or "")

    def read(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(value, kind)
        if whole and isinstance(value, float) and float.is_integer(value):
            value = int(value)
        if (whole and not isinstance(value, int)) or value != value or not inside(value):
            raise Wrong(value, kind)
        if not -most <= value <= most:
            raise Wrong(value, f"{kind} and at most {most}")
        if odd is not None and value % 2 != odd:
            raise Wrong(value, kind)
        return value

    return read


def _one_of(kind: str, listed: str) -> Reader:
    return _refuse_unless(lambda v: isinstance(v, str) and v in listed.split(", "), kind)


def _several_of(kind: str, how: str, listed: str) -> Reader:
    allowed = listed.split(", ")

    def read(value: object) -> Any:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or (how == "some" and not items):
            raise Wrong(value, kind)
        for i, item in enumerate(items):
            if not isinstance(item, str) or item not in allowed:
                raise Wrong(item, f"one of {listed}", "" if items is not value else f"[{i}]")
        return list(dict.fromkeys(items))

    return read


def _list_of(
    kind: str,
    increasing: str | None,
    least: str | None,
    count: str | None,
    different: str | None,
    items: str,
) -> Reader:
    singles = [functools.reduce(lambda k, p: p[0].sub(p[1], k), _PLURALS, part)
               for part in items.split(" and ")]  # fmt: skip
    single = " or ".join(singles)
    read_item = reader(single)
    least_count = int(count) if count else 0

    def read(value: object) -> Any:
        if not isinstance(value, list):
            raise Wrong(value, kind)
        if len(value) < least_count or (count and not least and len(value) > least_count):
            raise Wrong(value, kind)
        found = []
        for i, item in enumerate(value):
            try:
                found.append(read_item(item))
            except Wrong as wrong:
                raise Wrong(wrong.value, wrong.expected, f"[{i}]{wrong.place}") from None
        if (different and len(set(map(repr, found))) < len(found)) or (
            increasing and found != sorted(set(found))
        ):
            raise Wrong(value, kind)
        return found

    return read


def _mapping_of(kind: str, listed: str) -> Reader:
    names = set(listed.split(", "))
    return _refuse_unless(lambda v: isinstance(v, Mapping) and set(v) == names, kind)


def _node_of(kind: str, group: str) -> Reader:
    return _refuse_unless(lambda v: isinstance(v, Mapping) and "_target_" in v, kind)


def _literal(kind: str, word: str) -> Reader:
    return _refuse_unless(lambda v: isinstance(v, str) and v == word, kind)


_LIMITS = "|".join(re.sub(r"\((?!\?)", "(?:", pattern) for pattern, _ in _RANGES)
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[..., Reader]], ...] = (
    (re.compile(rf"(even |odd )?(whole number|channel count|number)(?: ({_LIMITS}))?"), _number),
    (re.compile(r"one of (.+)"), _one_of),
    (re.compile(r"(some|any) of (.+)"), _several_of),
    (re.compile(r"(increasing )?list of (at least )?(\d+ )?(different )?(.+)"), _list_of),
    (re.compile(r"mapping of (.+)"), _mapping_of),
    (NODE, _node_of),
    (re.compile(r"'([^']+)'"), _literal),
)
