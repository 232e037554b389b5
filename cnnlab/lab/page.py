"""Answers for a reader: as Markdown, and the book as one HTML page that needs nothing else."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from cnnlab.console import another
from cnnlab.display import inline
from cnnlab.lab.verdict import FAILS, HOLDS, INCONCLUSIVE

Answer = dict[str, Any]
"""What `results.json` holds: an object with `claims`, `tables`, `data` and where they come from."""


def page(answers: Sequence[tuple[Path, Answer]], failed: Mapping[str, str], *, scale: str) -> str:
    """The page.

    **Arguments:** `answers`, the folder and the result of each question; `failed`, the questions
    without an answer, and why; `scale`, with which they were asked.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("cnnlab.lab") / "book.html.jinja"
    questions = [
        {**result, "figures": _figures(folder), "counts": _counts([result])}
        for folder, result in answers
    ]
    return environment.from_string(template.read_text()).render(
        questions=questions,
        failed=failed,
        scale=scale,
        command=another,
        counts=_counts([result for _, result in answers]),
        minutes=sum(result["seconds"] for _, result in answers) / 60,
    )


def _counts(results: Sequence[Answer]) -> dict[str, int]:
    """How many claims have which verdict."""
    verdicts = [claim["verdict"] for result in results for claim in result["claims"]]
    return {verdict: verdicts.count(verdict) for verdict in (HOLDS, FAILS, INCONCLUSIVE)}


def _figures(folder: Path) -> list[dict[str, str]]:
    """The name of each figure of an answer, and the picture itself."""
    files = sorted((folder / "figures").glob("*.png"))
    return [{"name": f.stem.replace("_", " "), "png": inline(f.read_bytes())} for f in files]


def markdown(result: Answer, *, brief: bool = False) -> str:
    """The claims of a result, and unless `brief` its tables, as Markdown."""
    columns = ["source", "statement", "verdict", "evidence"]
    parts = [f"# {result['title']}", result["note"]]
    parts.append(_grid(columns, [[claim[c] for c in columns] for claim in result["claims"]]))
    for table in () if brief else result["tables"]:
        parts.append(f"## {table['title']}\n\n{_grid(table['header'], table['rows'])}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _grid(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
