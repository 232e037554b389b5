"""A question of the lab book: what the chapter claims, how it is measured, how it is judged.

A question is a module whose functions say which part of it they are, by a decorator;
docs/questions.md has all of one. Names do the rest. `measure` is given the settings that it names:
those with a default are keys of the config, which it so declares, and `trust` is the modules that
the command was told to trust; and what it returns, a JSON object, is the data. Claims, tables and
figures are given those parts of the data that they name, a list of dicts as `Records`.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure

from cnnlab.config import DictConfig, declare, granted, instantiate, plain
from cnnlab.content import digest
from cnnlab.lab.cells import Cells
from cnnlab.lab.drawing import Narrow, finish
from cnnlab.lab.records import Record, tidy
from cnnlab.lab.verdict import HOLDS, Verdict
from cnnlab.libraries import LIBRARIES

Function = TypeVar("Function", bound=Callable[..., object])
MeasureFunction = TypeVar("MeasureFunction", bound=Callable[..., Record])
ArmsFunction = TypeVar("ArmsFunction", bound=Callable[..., Mapping[str, Verdict]])
ClaimFunction = TypeVar("ClaimFunction", bound=Callable[..., Verdict])
Procedure = TypeVar("Procedure", bound=Callable[..., None])
Result = TypeVar("Result")
Data = Mapping[str, Any]
Rows = Iterable[Mapping[str, object]]  # of a table: what stands under which header


@dataclass(frozen=True)
class Claim:
    """A sentence or equation of the chapters: where it stands, and what would refute it; `instead`,
    the name of the claim that puts right what it says too loosely."""

    name: str
    source: str
    statement: str
    refuted_by: str
    instead: str | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header, as text or numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]

    @classmethod
    def of(cls, title: str, rows: Rows) -> "Table":
        """Rows as dicts of what stands under which header, the same for all."""
        found = list(rows)
        return cls(title, list(found[0]) if found else [], [list(row.values()) for row in found])


class Question:
    """One experiment of the lab book, which the functions of its module fill in."""

    def __init__(self, name: str, title: str, *, note: str = "") -> None:
        """**Arguments:**

        - `name`: of its module and its config.
        - `title`: the question as a reader would ask it.
        - `note`: what the chapter's text gets wrong or leaves open, and what is right instead.
        """
        self.name, self.title, self.note = name, title, note
        self.claims: list[Claim] = []
        self._verdicts: dict[str, Callable[..., Verdict]] = {}
        self._tables: list[Callable[..., object]] = []
        self._figures: dict[str, Callable[..., None]] = {}
        self._sizes: dict[str, tuple[float | int, float | int]] = {}
        self._serves: dict[str, str | None] = {}
        self._checks: list[Callable[..., None]] = []
        self._arms: dict[str, Sequence[str] | None] = {}
        self._learnt: Callable[..., Mapping[str, Verdict]] | None = None
        self._answer: Callable[..., str] | None = None
        self._measure: Callable[..., Record]
        self._groups: Mapping[str, str] = {}

    def measure(
        self, *, full: Mapping[str, object], groups: Mapping[str, str] | None = None
    ) -> Callable[[MeasureFunction], MeasureFunction]:
        """`measure(cells, *, settings...)`: the data. What takes long goes through the `cells`.

        **Arguments:** `full`, the settings of `scale=full`; `groups`, of the config, with their
        default choices, which `measure` is given as the objects that they describe. Where its
        argument has a default, what changes of the choice, it is given what describes the object.
        """

        def decorate(function: MeasureFunction) -> MeasureFunction:
            self._measure, self._groups = function, groups or {}
            include = ["base/question"]
            declare(self.name, function, include=include, groups=groups, full=full)
            return function

        return decorate

    def check(self, function: Procedure) -> Procedure:
        """`check(settings...)` refuses, by a ConfigError, what does not fit together; each setting
        by itself has been checked, as its kind says."""
        self._checks.append(function)
        return function

    def learnt(self, function: ArmsFunction) -> ArmsFunction:
        """`learnt(parts of the data...)`: of every arm, whether its networks are better than a
        baseline (`lab.beats`). Where one's are not, a claim about it that rests on estimates is
        `inconclusive`: what networks that have not learnt do says nothing."""
        self._learnt = function
        return function

    def answer(self, function: Callable[..., str]) -> Callable[..., str]:
        """`answer(parts of the data...)`: one sentence, with its numbers from the data."""
        self._answer = function
        return function

    def claim(
        self,
        source: str,
        refuted_by: str,
        *,
        instead: str | None = None,
        arms: Sequence[str] | None = None,
    ) -> Callable[[ClaimFunction], ClaimFunction]:
        """`claim(parts of the data...)`: its verdict; the docstring is its sentence.

        **Arguments:**

        - `source`: where it stands in the chapters.
        - `refuted_by`: what would refute it, as the object of that verb.
        - `instead`: of a claim that is too loose as it is printed, the claim's name that is right.
        - `arms`: those of `learnt` that it is about; by default all of them.
        """

        def decorate(function: ClaimFunction) -> ClaimFunction:
            name = function.__name__.rstrip("_")
            self.claims.append(Claim(name, source, _sentence(function), refuted_by, instead))
            self._verdicts[name] = function
            self._arms[name] = arms
            return function

        return decorate

    def table(self, function: Function) -> Function:
        """`table(parts of the data...)`: its rows as dicts of what stands under which header; the
        docstring is its title, `{name}` in it a part of the data. Or a `Table`, or several."""
        self._tables.append(function)
        return function

    def figure(
        self, width: float | int, height: float | int, *, serves: str | None = None
    ) -> Callable[[Procedure], Procedure]:
        """`figure(figure, parts of the data...)` draws into a figure of so many inches; its name is
        the file's, its docstring the caption. Where it draws nothing, there is no file. It stands
        below the claim that it `serves`, or below all that have intervals."""

        def decorate(function: Procedure) -> Procedure:
            name = function.__name__.rstrip("_")
            self._figures[name], self._sizes[name] = function, (width, height)
            self._serves[name] = serves
            return function

        return decorate

    # What runs a question asks of it.

    def code(self) -> str:
        """What stands for the file of a module of one's own; none for those that come with cnnlab,
        nor for what has no file."""
        module = sys.modules.get(self._measure.__module__)
        file, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
        comes_with_cnnlab = spec is not None and spec.name.partition(".")[0] in LIBRARIES
        return "" if file is None or comes_with_cnnlab else digest(Path(file).read_bytes())[:6]

    def check_settings(self, cfg: DictConfig) -> None:
        """**Raises:** `ConfigError` for settings that do not fit together."""
        for check in self._checks:
            _call(check, plain(cfg))

    def measured(self, cfg: DictConfig, cells: Cells) -> dict[str, Any]:
        """The data, as a JSON file holds them."""
        settings = {**plain(cfg), "trust": granted(cfg)}
        for name, argument in inspect.signature(self._measure).parameters.items():
            if name in self._groups and argument.default is argument.empty:
                settings[name] = instantiate(cfg[name], key=name)
            elif name in settings:
                settings[name] = _as_declared(argument.default, settings[name])
        data = _call(self._measure, settings, cells)
        return json.loads(json.dumps(data))

    def judge(self, data: Data) -> dict[str, Verdict]:
        """The verdict on each claim, by name."""
        learnt, data = self.learning(data), tidy(data)
        verdicts = {name: _call(verdict, data) for name, verdict in self._verdicts.items()}
        for name, verdict in verdicts.items() if learnt else ():
            about = self._arms[name]
            found = [v for arm, v in learnt.items() if about is None or arm in about]
            idle = [v.evidence for v in found if v.verdict != HOLDS]
            if idle and verdict.quantities:
                verdicts[name] = verdict.unless(f"not learnt: {'; '.join(idle)}")
        return verdicts

    def learning(self, data: Data) -> Mapping[str, Verdict]:
        """Whether the networks of each arm have learnt; of no arm where it trains none."""
        return {} if self._learnt is None else _call(self._learnt, tidy(data))

    def sentence(self, data: Data) -> str:
        """Its answer, in a sentence; empty where it has none."""
        return "" if self._answer is None else _call(self._answer, tidy(data))

    def worded(self, result: Record) -> Record:
        """A result in the words that the question has now: they are no part of what was measured,
        and may have been improved since."""
        now = {claim.name: asdict(claim) for claim in self.claims}
        claims = [claim | now.get(claim["name"], {}) for claim in result["claims"]]
        captions = self.captions(name for name in result["figures"] if name in self._figures)
        words = {"title": self.title, "note": self.note, "claims": claims, "serves": self._serves}
        return result | words | {"figures": result["figures"] | captions}

    def tables(self, data: Data) -> list[Table]:
        """What a reader sees as numbers."""
        data = tidy(data)
        found = [(_sentence(of).format_map(data), _call(of, data)) for of in self._tables]
        return [table for title, rows in found for table in _as_tables(title, rows)]

    def draw(self, data: Data, *, narrow: bool = False) -> dict[str, Figure]:
        """What a reader sees as pictures, by file name without its ending; for `narrow` screens,
        those that fit them."""
        data, drawn = tidy(data), {}
        for name, draw in self._figures.items():
            figure = (Narrow if narrow else Figure)(figsize=self._sizes[name], layout="constrained")
            _call(draw, data, figure)
            finish(figure)
            if figure.axes and getattr(figure, "fits", True):
                drawn[name] = figure
        return drawn

    def captions(self, names: Iterable[str]) -> dict[str, str]:
        """What stands under each figure: the docstring of the function that draws it."""
        return {name: _sentence(self._figures[name]) for name in names}


def _as_declared(default: object, value: Any) -> Any:
    """A section of the config as the dataclass, or the mapping of them, that its default is."""
    if is_dataclass(default):
        return type(default)(**{k: _as_declared(getattr(default, k), v) for k, v in value.items()})
    if isinstance(default, Mapping):
        return {k: _as_declared(default.get(k), v) for k, v in value.items()}
    return value


def _call(function: Callable[..., Result], named: Mapping[str, object], *first: object) -> Result:
    """A function with those of the named values that its arguments ask for."""
    names = list(inspect.signature(function).parameters)[len(first) :]
    return function(*first, **{name: named[name] for name in names})


def _sentence(function: Callable[..., object]) -> str:
    return " ".join((function.__doc__ or "").split())


def _as_tables(title: str, found: Any) -> Iterable[Table]:
    if isinstance(found, Table):
        return [found]
    rows = list(found)
    if not rows or isinstance(rows[0], Table):
        return rows
    return [Table.of(title, rows)]
