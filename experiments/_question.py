"""A question of the lab book: what the chapter claims, how it is measured, how it is judged.

A question is a module `experiments/<name>.py` with a config `configs/<name>.yaml`; its command
measures (`measure`, the one part that takes time and needs jax), judges, draws, and writes
`<output>/<name>/<config hash>/results.json`. The same command finds it there again.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnlab.config import ConfigError, cli, config_hash
from experiments._cells import Cells
from experiments._verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from omegaconf import DictConfig

    from cnnlab.train.rundir import RunDirectory

# What does not change a result.
UNHASHED = ("output", "force", "progress")


@dataclass(frozen=True)
class Claim:
    """A sentence or equation of the chapters: where it stands, and what would refute it."""

    name: str
    source: str
    statement: str
    refuted_by: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header, as text or numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Question:
    """One experiment of the lab book.

    - `name`: of its module and its config; `title`: the question as a reader would ask it.
    - `measure(cfg, cells)`: the data, a JSON object. What takes long goes through `cells`.
    - `check(cfg)`: refuses settings that do not fit together, by a ConfigError; each by itself
      has been checked, as its kind in the config says.
    - `judge(data)`: a verdict for each claim, by name: from the data alone.
    - `tables(data)`, `draw(data)`: what a reader sees; figures by file name without its ending.
    - `note`: what the chapter's text gets wrong or leaves open, and what is right instead.
    """

    name: str
    title: str
    claims: Sequence[Claim]
    measure: "Callable[[DictConfig, Cells], dict[str, Any]]"
    judge: Callable[[Mapping[str, Any]], Mapping[str, Verdict]]
    tables: Callable[[Mapping[str, Any]], Sequence[Table]]
    draw: "Callable[[Mapping[str, Any]], Mapping[str, Figure]]"
    note: str = ""
    check: "Callable[[DictConfig], None]" = lambda cfg: None


def entry(question: Question, examples: Sequence[str] = ("", "scale=full")) -> Callable[..., Any]:
    """The command of a question, `python -m experiments.<name>`."""

    def main(cfg: "DictConfig") -> None:
        folder, result = answer(question, cfg)
        for line in narrative(question, result):
            print(line)
        print(folder / "results.json")

    main.__doc__ = f"{question.title}\n\n{question.note}"
    return cli(question.name, examples=examples, rehearsal=lambda _: question.check)(main)


def answer(question: Question, cfg: "DictConfig") -> tuple[Path, dict[str, Any]]:
    """Measure and judge, or find what the same config gave before; the folder and the result.

    **Raises:** `ConfigError` for settings that are refused; `CnnlabError` when
    another process is at the same config, or something can't be written.
    """
    from omegaconf import OmegaConf

    from cnnlab.files import write_atomically, write_figure

    question.check(cfg)
    directory = directory_of(question.name, cfg)
    if directory.complete() and not cfg.force:
        return directory.path, directory.read_result()
    with directory.lock():
        cells = directory.path / "cells.jsonl"
        if cfg.force:
            cells.unlink(missing_ok=True)
        directory.begin(OmegaConf.to_yaml(cfg), force=cfg.force)
        started = time.perf_counter()
        try:
            data = question.measure(cfg, Cells(cells, show=cfg.progress))
        except ConfigError:  # a setting that only showed when it was used: no folder for it
            if not cells.is_file():
                shutil.rmtree(directory.path)
            raise
        seconds = round(time.perf_counter() - started, 1)
        result = _result(question, OmegaConf.to_container(cfg), data, seconds)
        shutil.rmtree(directory.figures, ignore_errors=True)
        for name, figure in question.draw(data).items():
            write_figure(directory.figures / f"{name}.png", figure, dpi=110)
        write_atomically(directory.path / "tables.md", markdown(result).encode())
        directory.write_result(result)
    return directory.path, result


def directory_of(name: str, cfg: "DictConfig") -> "RunDirectory":
    """Where a question's config keeps its result."""
    from cnnlab.train.rundir import RunDirectory

    directory = RunDirectory(Path(cfg.output) / name / config_hash(cfg, UNHASHED))
    directory.result = directory.path / "results.json"
    return directory


def _result(question: Question, config: Any, data: dict[str, Any], seconds: float) -> dict:
    import jax

    from cnnlab.versions import versions

    verdicts = question.judge(data)
    return {
        "question": question.name,
        "title": question.title,
        "note": question.note,
        "claims": [_judged(claim, verdicts[claim.name]) for claim in question.claims],
        "seconds": seconds,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": versions(),
        "config": config,
        "tables": [asdict(table) for table in question.tables(data)],
        "data": data,
    }


def _judged(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    estimates = [estimate.json() for estimate in verdict.estimates]
    return {**asdict(claim), **asdict(verdict), "estimates": estimates}


def narrative(question: Question, result: Mapping[str, Any]) -> list[str]:
    """The claims with their verdicts, as lines for a terminal."""
    lines = [question.title, ""]
    for claim in result["claims"]:
        lines += [f"{claim['verdict'].upper():<13} {claim['source']}: {claim['statement']}"]
        lines += [f"{'':<13} {claim['evidence']}"]
    return lines


def markdown(result: Mapping[str, Any], *, brief: bool = False) -> str:
    """The claims of a result, and unless `brief` its tables, as Markdown."""
    claims = Table("Claims", ["source", "statement", "verdict", "evidence"], [
        [c["source"], c["statement"], c["verdict"], c["evidence"]] for c in result["claims"]
    ])  # fmt: skip
    parts = [f"# {result['title']}", result["note"], _grid(asdict(claims))]
    if not brief:
        parts += [f"## {table['title']}\n\n{_grid(table)}" for table in result["tables"]]
    return "\n\n".join(part for part in parts if part) + "\n"


def _grid(table: Mapping[str, Any]) -> str:
    rows = [table["header"], ["---"] * len(table["header"]), *table["rows"]]
    lines = ("| " + " | ".join(str(c).replace("|", "\\|") for c in row) + " |" for row in rows)
    return "\n".join(lines)
