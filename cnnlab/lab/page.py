"""Answers for a reader: as Markdown, and the book as one HTML page that needs nothing else."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from cnnlab.console import another
from cnnlab.display import inline
from cnnlab.lab.estimates import Number
from cnnlab.lab.formulas import formulas
from cnnlab.lab.intervals import groups
from cnnlab.lab.replication import Replication
from cnnlab.lab.summary import KINDS, LOOSE, OPEN, WRONG, kind_of, summary
from cnnlab.lab.verdict import FAILS, HOLDS, INCONCLUSIVE, Quantity

Answer = dict[str, Any]
"""What `results.json` holds: an object with `claims`, `tables`, `data` and where they come from."""


def page(
    answers: Sequence[tuple[Path, Answer]],
    failed: Mapping[str, str],
    *,
    scale: str,
) -> str:
    """The page.

    **Arguments:**

    - `answers`: the folder and the result of each question.
    - `failed`: the questions without an answer, and why.
    - `scale`: with which they were asked.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"formulas": formulas, "duration": _duration}
    template = resources.files("cnnlab.lab") / "book.html.jinja"
    questions = [_question(folder, result) for folder, result in answers]
    versions = {tuple(result["versions"].items()) for _, result in answers}
    return environment.from_string(template.read_text()).render(
        questions=questions,
        summary=summary([claim for question in questions for claim in question["claims"]]),
        kinds=KINDS,
        failed=by_reason(failed),
        scale=scale,
        replication=Replication.of(result for _, result in answers),
        command=another,
        counts=_counts([result for _, result in answers]),
        seconds=sum(result["seconds"] for _, result in answers),
        versions=dict(versions.pop()) if len(versions) == 1 else None,
    )


def _question(folder: Path, result: Answer) -> Answer:
    """What the template shows of a question: estimates with their intervals apart from checks, and
    each figure below the claim that it serves, or below all of them."""
    claims = _claims(result)
    figures = _figures(folder, result)
    estimates = [claim for claim in claims if claim["quantities"]]
    for claim in estimates:
        claim["figures"] = [figure for figure in figures if figure["serves"] == claim["name"]]
    served = {claim["name"] for claim in estimates}
    return {
        **result,
        "claims": claims,
        "estimates": estimates,
        "checks": [claim for claim in claims if not claim["quantities"]],
        "figures": [figure for figure in figures if figure["serves"] not in served],
        "counts": _counts([result]),
    }


def _claims(result: Answer) -> list[dict[str, Any]]:
    """With what the page shows of each beside what it is."""
    by_name = {claim["name"]: claim for claim in result["claims"]}
    claims = []
    for claim in result["claims"]:
        kind = kind_of(claim, by_name)
        claims.append(
            {
                **claim,
                "id": f"{result['question']}-{claim['name']}",
                "kind": kind,
                "right": by_name[claim["instead"]]["statement"] if kind == LOOSE else "",
                "reason": claim.get("reason", ""),
                "again": claim.get("again"),
                "evidence": _evidence(claim),
                "groups": groups(claim["quantities"]),
            }
        )
    return claims


def _evidence(claim: Mapping[str, Any]) -> str:
    """Why it says nothing, if so; its estimates, then its counts, in a line."""
    estimates = [Quantity.of(quantity).evidence() for quantity in claim["quantities"]]
    parts = [claim.get("reason", ""), *estimates, claim["counted"]]
    return "; ".join(part for part in parts if part)


def by_reason(failed: Mapping[str, str]) -> dict[str, list[str]]:
    """The questions without an answer, by why."""
    found: dict[str, list[str]] = {}
    for name, reason in failed.items():
        found.setdefault(reason, []).append(name)
    return found


def _duration(seconds: Number) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def _counts(results: Sequence[Answer]) -> dict[str, int]:
    """How many claims have which verdict."""
    verdicts = [claim["verdict"] for result in results for claim in result["claims"]]
    return {verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, INCONCLUSIVE)}


def _figures(folder: Path, result: Answer) -> list[dict[str, str]]:
    """Each figure that is there: its name, what stands under it, the claim that it serves, and the
    picture itself."""
    found, serves = [], result.get("serves", {})
    for name, caption in result["figures"].items():
        file = folder / "figures" / f"{name}.png"
        if file.is_file():
            narrow = file.with_stem(f"{name}-narrow")
            found.append(
                {
                    "name": name.replace("_", " "),
                    "caption": caption,
                    "serves": serves.get(name),
                    "png": inline(file.read_bytes()),
                    "narrow": inline(narrow.read_bytes()) if narrow.is_file() else "",
                }
            )
    return found


def brief(results: Sequence[Answer]) -> str:
    """All answers without their tables as Markdown, after what is wrong and what flips."""
    questions = [_claims(result) for result in results]
    found = summary([claim for claims in questions for claim in claims])
    header = ["claims of", *KINDS]
    counts = [[text, *numbers.values()] for text, numbers in found["counts"].items()]
    parts = ["# The lab book", grid(header, counts)]
    for kind in (WRONG, LOOSE, OPEN):
        lines = [f"## {KINDS[kind]}: {len(found['kinds'][kind])}", ""]
        for claim in found["kinds"][kind]:
            rather = f" *Rather:* {formulas(claim['right'])}" if claim["right"] else ""
            lines.append(f"- {claim['source']}: {formulas(claim['statement'])}{rather}")
        parts.append("\n".join(lines))
    if replication := Replication.of(results):
        parts += ["## With other seeds", replication.summary]
        lines = [f"- {name}: {line}" for name, of in replication.lists() for line in of]
        parts.append(formulas("\n".join(lines)))
    return "\n\n".join([*parts, *(markdown(result, brief=True) for result in results)])


def markdown(result: Answer, *, brief: bool = False) -> str:
    """The claims of a result, and unless `brief` its tables, as Markdown."""
    parts = [f"# {result['title']} (`{result['question']}`)", formulas(result["answer"])]
    rows = [
        [
            claim["verdict"],
            claim["source"],
            claim["name"],
            formulas(claim["statement"]),
            formulas(_evidence(claim)),
        ]
        for claim in result["claims"]
    ]
    parts += [
        grid(["verdict", "source", "name", "statement", "evidence"], rows),
        formulas(result["note"]),
    ]
    for table in () if brief else result["tables"]:
        rows = [[formulas(cell) for cell in row] for row in (table["header"], *table["rows"])]
        parts.append(f"## {formulas(table['title'])}\n\n{grid(rows[0], rows[1:])}")
    return "\n\n".join(part for part in parts if part) + "\n"


def grid(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
