"""What an object shows of itself, as text and in a notebook: a title, a table, a picture.

A class says it once, by a method `view`; `@shown` makes its two representations of that.
"""

import base64
import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_LONGEST = 160  # characters of a cell


@dataclass(frozen=True)
class View:
    """What is shown of an object.

    - `table`: rows of cells, whatever their type; the first `names` columns are to the left.
    - `header`: whether the first row is one; `total`: whether the last row is a sum of the others.
    - `notes`: lines below it.
    - `picture`: a PNG file, if it is there; or what makes the content of one when it is needed.
    """

    title: str = ""
    table: Sequence[Sequence[object]] = ()
    names: int = 1
    header: bool = True
    total: bool = False
    notes: Sequence[str] = ()
    picture: Path | Callable[[], bytes] | None = None

    @classmethod
    def of(cls, title: str, facts: Mapping[str, object], **others: Any) -> "View":
        """Names and what they stand for, a row each; without those that are None."""
        rows = [(name, value) for name, value in facts.items() if value is not None]
        return cls(title, rows, names=2, header=False, **others)

    def text(self) -> str:
        """Columns that are aligned, rules beside a header and a total."""
        rows = [tuple(map(_cell, row)) for row in self.table]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [self._line(row, widths) for row in rows]
        rule = ["-" * max(map(len, lines))] if lines else []
        if self.total:
            lines[-1:] = [*rule, lines[-1]]
        if self.header:
            lines[1:1] = rule
        title = [_text(self.title)] if self.title else []
        return "\n".join([*title, *lines, *map(_text, self.notes)])

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = zip(row, widths, strict=True)
        return "  ".join(
            cell.ljust(width) if i < self.names else cell.rjust(width)
            for i, (cell, width) in enumerate(cells)
        ).rstrip()

    def html(self) -> str:
        """The same as HTML, of escaped texts, and the picture in it."""
        parts = [f"<b>{_escaped(self.title)}</b>"] if self.title else []
        rows = [self._row(i, row) for i, row in enumerate(self.table)]
        parts += [f"<table>{''.join(rows)}</table>"] if rows else []
        parts += [f"<div>{_escaped(note)}</div>" for note in self.notes]
        picture = self.picture
        if isinstance(picture, Path):
            picture = picture.read_bytes if picture.is_file() else None
        if picture is not None:
            parts.append(f'<img style="max-width:540px" src="{inline(picture())}">')
        return f"<div>{''.join(parts)}</div>"

    def _row(self, number: int, row: Sequence[object]) -> str:
        last = len(self.table) - 1
        tag = "th" if (number == 0 and self.header) or (number == last and self.total) else "td"
        cells = (
            f'<{tag} style="text-align:{"left" if i < self.names else "right"}">'
            f"{html.escape(_cell(cell))}</{tag}>"
            for i, cell in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"


def shown(cls: Class) -> Class:
    """Of a class with a method `view() -> View`: `repr` is its text, and a notebook's its HTML.

    Neither raises: an object that can't be shown is named by its class.
    """

    def as_text(self: Any) -> str:
        try:
            return self.view().text()
        except Exception as problem:
            return f"<{type(self).__name__}, not shown: {_text(problem)}>"

    def as_html(self: Any) -> str | None:
        try:
            return self.view().html()
        except Exception:
            return None  # the text is shown instead

    for name, show in (("__repr__", as_text), ("_repr_html_", as_html)):
        setattr(cls, name, show)
    return cls


def inline(png: bytes) -> str:
    """A PNG file's content as an address that a page holds in itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _text(value: object) -> str:
    """One line, without what a terminal would obey."""
    return _CONTROL.sub(" ", str(value))


def _cell(value: object) -> str:
    text = _text(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _escaped(value: object) -> str:
    return html.escape(_text(value))
