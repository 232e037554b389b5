"""Tidy data: a record for each measurement, what was varied and what was found by name."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Bool

from cnnlab.display import View, shown

Record = dict[str, Any]
_SHOWN = 40  # records, where all are too many


@shown
class Records(list[Record]):
    """Measurements as a list of dicts, as `results.json` holds them.

    `runs.where(pool="avg")["accuracy"]` is a list of numbers, one for each network with the mean.
    """

    def view(self) -> View:
        names = list(dict.fromkeys(name for record in self[:_SHOWN] for name in record))
        rows = [[_cell(record.get(name, "")) for name in names] for record in self[:_SHOWN]]
        more = [f"and {len(self) - _SHOWN:,} more"] if len(self) > _SHOWN else []
        title = "" if self else "no records"
        return View(title, [names, *rows] if rows else [], notes=more)

    def where(
        self, condition: Callable[[Record], object] | None = None, /, **values: object
    ) -> "Records":
        """Those with these values, with one of them where a list, tuple or set is given; and, if
        there is one, for which a condition holds."""
        several = (list, tuple, set, frozenset)
        ways = {k: v if isinstance(v, several) else (v,) for k, v in values.items()}
        found = Records(r for r in self if all(r[k] in way for k, way in ways.items()))
        return found if condition is None else Records(filter(condition, found))

    def __getitem__(self, name: Any) -> Any:
        """The values under a name, in order; by position, a record."""
        return (
            [record[name] for record in self]
            if isinstance(name, str)
            else super().__getitem__(name)
        )

    def by(self, *names: str, of: str | None = None) -> dict[Any, Any]:
        """The records by their value under a name, by tuples of values under several, in the order
        in which the values come first; or, with `of`, the list of the values under that name."""
        groups: dict[Any, Records] = {}
        for record in self:
            values = tuple(record[name] for name in names)
            groups.setdefault(values[0] if len(names) == 1 else values, Records()).append(record)
        return groups if of is None else {key: group[of] for key, group in groups.items()}

    def pivot(self, row: str, column: str, value: str) -> dict[Any, dict[Any, list[Any]]]:
        """By the value under `row`, then by that under `column`: the list of those of `value`."""
        return {key: group.by(column, of=value) for key, group in self.by(row).items()}


def _cell(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value


def combinations(**axes: Iterable[object]) -> Records:
    """A record for each combination of values, the last name's varying fastest."""
    return Records(dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


def tidy(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data with lists of dicts as `Records`."""
    is_tidy = lambda v: isinstance(v, list) and v and all(isinstance(r, dict) for r in v)
    return {name: Records(v) if is_tidy(v) else v for name, v in data.items()}


def pack(flags: Bool[np.ndarray, " m"]) -> str:
    """Which of m examples a network has right, say, as a short text for a record: the hexadecimal
    digits of a 1, then the flags, so that zeros at the front count."""
    return f"{int('1' + ''.join('01'[int(flag)] for flag in flags), 2):x}"


def unpack(text: str) -> Bool[np.ndarray, " m"]:
    """What `pack` packed."""
    return np.array([flag == "1" for flag in f"{int(text, 16):b}"[1:]], bool)
