"""Answers for a reader: as Markdown, and the book as one HTML page that needs nothing else."""

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from cnnlab.console import another
from cnnlab.display import inline
from cnnlab.lab.verdict import FAILS, HOLDS, INCONCLUSIVE

Answer = dict[str, Any]
"""What `results.json` holds: an object with `claims`, `tables`, `data` and where they come from."""


def page(
    answers: Sequence[tuple[Path, Answer]],
    failed: Mapping[str, str],
    *,
    scale: str,
    flipped: Sequence[str] | None = None,
) -> str:
    """The page.

    **Arguments:**

    - `answers`: the folder and the result of each question.
    - `failed`: the questions without an answer, and why.
    - `scale`: with which they were asked.
    - `flipped`: what `flips` found in a replication; `None` where there was none.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["formulas"] = _formulas
    template = resources.files("cnnlab.lab") / "book.html.jinja"
    questions = [_question(folder, result) for folder, result in answers]
    return environment.from_string(template.read_text()).render(
        questions=questions,
        summary=_summary(questions),
        failed=failed,
        scale=scale,
        flipped=flipped,
        command=another,
        counts=_counts([result for _, result in answers]),
        minutes=sum(result["seconds"] for _, result in answers) / 60,
    )


def _question(folder: Path, result: Answer) -> Answer:
    """What the template shows of a question: estimates with their intervals apart from checks."""
    claims = [
        {
            **claim,
            "id": f"{result['question']}-{claim['name']}",
            "drawn": [_drawn(q) for q in claim["quantities"] if q["low"] is not None],
        }
        for claim in result["claims"]
    ]
    return {
        **result,
        "estimates": [claim for claim in claims if claim["quantities"]],
        "checks": [claim for claim in claims if not claim["quantities"]],
        "figures": _figures(folder, result["figures"]),
        "counts": _counts([result]),
    }


def _summary(questions: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The claims that do not hold as they are printed, by what is wrong with them."""
    loose, wrong, unsettled = [], [], []
    for question in questions:
        claims = [*question["estimates"], *question["checks"]]
        by_name = {claim["name"]: claim for claim in claims}
        for claim in claims:
            right = by_name.get(claim["instead"])
            claim["right"] = right["statement"] if right and right["verdict"] == HOLDS else ""
            if claim["verdict"] == FAILS:
                (loose if claim["right"] else wrong).append(claim)
            elif claim["verdict"] == INCONCLUSIVE:
                unsettled.append(claim)
    return {
        "What the chapters say too loosely": loose,
        "What they say wrongly, or what is not so here": wrong,
        "What these measurements do not settle": unsettled,
    }


WIDTH = 300  # of the picture of an interval


def _drawn(quantity: Mapping[str, Any]) -> dict[str, Any]:
    """Where an estimate, its interval and the range that the claim allows lie in a picture."""
    low, mean, high = (quantity[name] for name in ("low", "mean", "high"))
    limits = [end for end in (quantity["least"], quantity["most"]) if end is not None]
    first, last = min([low, *limits]), max([high, *limits])
    margin = 0.08 * (last - first) or 1.0
    first, last = first - margin, last + margin
    place = lambda value: round(WIDTH * (value - first) / (last - first), 1)
    left = 0 if quantity["least"] is None else place(quantity["least"])
    right = WIDTH if quantity["most"] is None else place(quantity["most"])
    allowed = (left, round(right - left, 1))
    ends = {"low": place(low), "mean": place(mean), "high": place(high)}
    words = (
        f"{quantity['what']}: {mean:.4g} [{low:.4g}, {high:.4g}], n = {quantity['n']}; claimed: "
    )
    words += " to ".join(f"{end:.4g}" for end in limits)
    if len(limits) == 1:
        words += " or more" if quantity["most"] is None else " or less"
    if quantity["needed"]:
        words += f"; n = {quantity['needed']:,} would tell"
    return {**ends, "allowed": allowed, "limits": [place(end) for end in limits], "text": words}


def _formulas(text: str) -> Markup:
    """Text in which powers and indices are set as such: s^2, (hw)^2, W_ij, c'."""
    shown = str(escape(text))
    shown = re.sub(r"\^(-?[\w.]+|\([^()]*\))", r"<sup>\1</sup>", shown)
    shown = re.sub(r"\b([A-Za-z])_([A-Za-z0-9]+)\b", r"<i>\1</i><sub>\2</sub>", shown)
    shown = re.sub(r"\b([A-Za-z])&#39;(?![A-Za-z])", r"\1&prime;", shown)
    for plain, sign in (("&lt;=", "≤"), ("&gt;=", "≥"), ("!=", "≠")):
        shown = shown.replace(plain, sign)
    return Markup(shown)


def _counts(results: Sequence[Answer]) -> dict[str, int]:
    """How many claims have which verdict."""
    verdicts = [claim["verdict"] for result in results for claim in result["claims"]]
    return {verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, INCONCLUSIVE)}


def _figures(folder: Path, captions: Mapping[str, str]) -> list[dict[str, str]]:
    """Each figure that is there: its name, what stands under it, and the picture itself."""
    files = {name: folder / "figures" / f"{name}.png" for name in captions}
    return [
        {"name": name.replace("_", " "), "caption": captions[name], "png": inline(f.read_bytes())}
        for name, f in files.items()
        if f.is_file()
    ]


def markdown(result: Answer, *, brief: bool = False) -> str:
    """The claims of a result, and unless `brief` its tables, as Markdown."""
    columns = ["source", "statement", "verdict", "evidence"]
    parts = [f"# {result['title']}", result["answer"], result["note"]]
    parts.append(grid(columns, [[claim[c] for c in columns] for claim in result["claims"]]))
    for table in () if brief else result["tables"]:
        parts.append(f"## {table['title']}\n\n{grid(table['header'], table['rows'])}")
    return "\n\n".join(part for part in parts if part) + "\n"


def grid(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
