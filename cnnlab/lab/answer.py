"""Asking a question: its command, its folder, its result.

`<output>/<name>/<config hash>/results.json` holds the answer, and the same command finds it again.
With more seeds, where they are added one by one (`seeds` and `most_seeds`), it is the same folder,
and what was measured is found: who asks for the n that a verdict names waits for the rest alone.
A question of one's own has a digest of its module's file behind the hash: edited, it is asked anew.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from cnnlab.config import ConfigError, DictConfig, cli, config_hash, plain, to_yaml
from cnnlab.files import write_atomically, write_figure
from cnnlab.lab.cells import Cells
from cnnlab.lab.page import Answer, markdown
from cnnlab.lab.question import Question
from cnnlab.lab.records import Record
from cnnlab.lab.verdict import all_of
from cnnlab.train.rundir import RunDirectory
from cnnlab.versions import versions

# What a result has, beside what older ones had.
FORM = {"answer", "learnt", "figures"}
# What does not change a result.
UNHASHED = ("output", "force", "progress")


def command(
    question: Question, examples: Sequence[str] = ("", "scale=full")
) -> Callable[..., object]:
    """The `main` of a question's module, `python -m experiments.<name>`."""

    def main(cfg: DictConfig) -> None:
        try:
            folder, result = answer(question, cfg)
        except KeyboardInterrupt as stop:
            again = "the same command, without force=true," if cfg.force else "the same command"
            raise KeyboardInterrupt(f"{again} goes on from there") from stop
        print(f"{question.title}\n")
        for claim in result["claims"]:
            print(f"{claim['verdict'].upper():<13} {claim['source']}: {claim['statement']}")
            print(f"{'':<13} {claim['evidence']}")
        print(folder / "results.json")

    main.__doc__ = f"{question.title}\n\n{question.note}"
    rehearsal = lambda _: question.check_settings
    return cli(question.name, examples=examples, rehearsal=rehearsal)(main)


def answer(question: Question, cfg: DictConfig) -> tuple[Path, Answer]:
    """Measure and judge, or find what the same config gave before; the folder and the result.

    **Raises:** `ConfigError` for settings that are refused; `CnnlabError` when another process is
    at the same config, or something can't be written.
    """
    question.check_settings(cfg)
    directory = directory_of(question.name, cfg, question.code())
    if not cfg.force and (found := answered(directory, cfg)):
        return directory.path, found
    with directory.lock():
        cells = directory.path / "cells.jsonl"
        if cfg.force:
            cells.unlink(missing_ok=True)
        directory.begin(to_yaml(cfg), force=cfg.force)
        started = time.perf_counter()
        try:
            kept = Cells(cells, show=cfg.progress)
            data = question.measured(cfg, kept)
        except ConfigError:  # a setting that only showed when it was used: no folder for it
            if not cells.is_file():
                shutil.rmtree(directory.path)
            raise
        seconds = round(kept.before + time.perf_counter() - started, 1)
        result = _result(question, plain(cfg), data, seconds)
        shutil.rmtree(directory.figures, ignore_errors=True)
        result["figures"] = _draw(question, data, directory.figures)
        write_atomically(directory.path / "tables.md", markdown(result).encode())
        directory.write_result(result)
    return directory.path, result


def answered(directory: RunDirectory, cfg: DictConfig) -> Answer | None:
    """The result that is there. One of an older form is none, or of another number of seeds: the
    cells make it anew, at once.

    **Raises:** `CnnlabError` when it is not what was written.
    """
    result = directory.read_result() if directory.complete() else {}
    if not result.keys() >= FORM or _settings(result["config"]) != _settings(cfg):
        return None
    return result


def _settings(cfg: DictConfig | Mapping[str, Any]) -> str:
    """Of all that may change a result."""
    return config_hash(cfg, UNHASHED)


def directory_of(name: str, cfg: DictConfig, code: str = "") -> RunDirectory:
    """Where a question's config, and its code where that is one's own, keeps its result."""
    of_all = config_hash(cfg, (*UNHASHED, *_numbers_of_seeds(plain(cfg))))
    directory = RunDirectory(Path(cfg.output) / name / "-".join(filter(None, (of_all, code))))
    directory.result = directory.path / "results.json"
    return directory


def _numbers_of_seeds(config: Mapping[str, Any], section: str = "") -> Iterator[str]:
    """The keys that say how many seeds `Cells.seeds` measures, each in cells of its own."""
    if "most_seeds" in config:
        yield from (f"{section}seeds", f"{section}most_seeds")
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _numbers_of_seeds(value, f"{section}{key}.")


def _draw(question: Question, data: Record, folder: Path) -> dict[str, str]:
    """Write the figures, and beside each that fits one for narrow screens; the captions."""
    figures = question.draw(data)
    for name, figure in figures.items():
        write_figure(folder / f"{name}.png", figure, dpi=110)
    for name, figure in question.draw(data, narrow=True).items():
        write_figure(folder / f"{name}-narrow.png", figure, dpi=160)
    return question.captions(figures)


def _result(
    question: Question, config: Mapping[str, object], data: Record, seconds: float
) -> Answer:
    verdicts, learnt = question.judge(data), question.learning(data)
    return {
        "question": question.name,
        "title": question.title,
        "answer": question.sentence(data),
        "note": question.note,
        "learnt": all_of(learnt.values()).json() if learnt else None,
        "claims": [{**asdict(claim), **verdicts[claim.name].json()} for claim in question.claims],
        "seconds": seconds,
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": versions(),
        "config": config,
        "tables": [asdict(table) for table in question.tables(data)],
        "data": data,
    }
