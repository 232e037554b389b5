"""The simple question: one thing is varied, and what comes out is compared with its first value's.

question = lab.Question("strides", "Does a stride leave fewer outputs?")

@lab.compare(question, "A 4.7", lab.at_most, stride=[1, 2, 3])
def outputs(stride):
    '''A convolution with a stride has no more outputs than one without.'''
    return ops.conv(IMAGE, KERNEL, stride=stride).size
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from matplotlib.figure import Figure

from cnnlab.lab.cells import Cells
from cnnlab.lab.drawing import curve
from cnnlab.lab.estimates import Number, estimate, paired
from cnnlab.lab.kinds import Count
from cnnlab.lab.question import Question, Rows
from cnnlab.lab.records import Records
from cnnlab.lab.verdict import Verdict, all_of, at_least

Measured = TypeVar("Measured", bound=Callable[..., Any])


def compare(
    question: Question,
    source: str,
    rule: Callable[..., Verdict] = at_least,
    limit: Number = 0.0,
    /,
    *,
    seeds: int = 3,
    refuted_by: str = "",
    full: Mapping[str, object] | None = None,
    **varied: Sequence[Number | str],
) -> Callable[[Measured], Measured]:
    """Give a question its measure, its claim, its table and its figure, from one function.

    `measured(value)` is a number for a value of what is varied. Where it has an argument `seeds`
    too, a range, it is a list of numbers, one for each seed. The docstring is the claim: of every
    value but the first, the difference between its number and the first's passes the rule; with
    seeds, the mean over pairs of the same seed.

    **Arguments:**

    - `source`: where the claim stands.
    - `rule`, `limit`: `lab.at_least` or `lab.at_most`, of the difference.
    - `varied`: one name with two values or more, of one kind: whole numbers, numbers or texts.
      Its plural, `strides` of a `stride`, is a key of the config.
    - `seeds`: how many, where the function takes seeds.
    - `refuted_by`: what would refute the claim, where more can be said than that.
    - `full`: the settings of `scale=full`; by default, with seeds, ten of them.

    **Raises:** `TypeError`: not one name is varied, or its values are of no kind, or too few.
    """
    if len(varied) != 1:
        raise TypeError(f"compare: expected one name with its values, got {list(varied)}")
    [(name, values)] = varied.items()
    key = f"{name}s"
    hint = Annotated[Sequence[Any], _kind(name, values), "to compare with the first of them"]

    def decorate(measured: Measured) -> Measured:
        of = measured.__name__
        label = of.replace("_", " ")
        repeated = "seeds" in inspect.signature(measured).parameters

        def measure(cells: Cells, **settings: Any) -> dict[str, Records]:
            if not repeated:
                return {"compared": cells.records(of, measured, **{name: settings[key]})}
            several = range(settings["seed"], settings["seed"] + settings["seeds"])

            def each(**value: object) -> list[dict[str, object]]:
                numbers = measured(**value, seeds=several)
                return [{"seed": s, of: n} for s, n in zip(several, numbers, strict=True)]

            return {"compared": cells.records(of, each, **{name: settings[key]})}

        settings: dict[str, tuple[Any, object]] = {key: (hint, tuple(values))}
        if repeated:
            settings["seeds"] = (Annotated[Count, "repetitions of each"], seeds)
        _with_settings(measure, settings, ["seed"] if repeated else [])
        measure.__module__ = measured.__module__
        changed = {"seeds": 10} if repeated and full is None else full or {}
        question.measure(full=changed)(measure)

        def claim(compared: Records) -> Verdict:
            (first, before), *others = compared.by(name, of=of).items()
            change = lambda after: paired(after, before) if repeated else after[0] - before[0]
            what = f"{label}, {name} {{}} - {first}".format
            return all_of(rule(change(after), limit, what(value)) for value, after in others)

        claim.__name__, claim.__doc__ = of, measured.__doc__
        refutes = refuted_by or f"a {name} of which it is not true"
        question.claim(source, refutes)(claim)

        def table(compared: Records) -> Rows:
            for value, numbers in compared.by(name, of=of).items():
                shown = estimate(numbers).columns(".4g") if repeated else {of: f"{numbers[0]:.6g}"}
                yield {name: value, **shown}

        table.__doc__ = f"{label[:1].upper()}{label[1:]} by {name}"
        question.table(table)

        def figure(figure: Figure, compared: Records) -> None:
            axes = figure.subplots()
            found = compared.by(name, of=of)
            style = "o" if any(isinstance(value, str) for value in found) else "o-"
            curve(axes, found, style, spread="interval" if repeated else None)
            axes.set(xticks=list(found), xlabel=name, ylabel=label)

        figure.__name__ = of
        question.figure(4.5, 3.2)(figure)
        return measured

    return decorate


def _kind(name: str, values: Sequence[Number | str]) -> str:
    """Of a list of values like these, in the words of the config."""
    for types, kind in ((int, "whole numbers"), (int | float, "numbers"), (str, "texts")):
        if all(isinstance(v, types) and not isinstance(v, bool) for v in values):
            if len(values) < 2:
                break
            return f"list of at least 2 different {kind}"
    raise TypeError(
        f"compare: {name}: expected two or more whole numbers, numbers or texts, got {values!r}"
    )


def _with_settings(
    measure: Callable[..., object], settings: Mapping[str, tuple[Any, object]], plain: list[str]
) -> None:
    """Make a function look like one written with these keyword arguments: hint and default."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    cells = inspect.Parameter("cells", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    others = [inspect.Parameter(name, keyword) for name in plain]
    others += [inspect.Parameter(n, keyword, default=d) for n, (_, d) in settings.items()]
    measure.__annotations__ = {name: hint for name, (hint, _) in settings.items()}
    measure.__signature__ = inspect.Signature([cells, *others])  # pyrefly: ignore
