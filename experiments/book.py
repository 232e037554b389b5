"""The lab book: every question asked, and one page with claims, verdicts, figures and tables."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # omegaconf and the questions load when a run begins, not for --help
    from pathlib import Path

    from omegaconf import DictConfig

    from cnnlab.lab import Answer, Question


@cli(
    "book",
    rehearsal=lambda _: _commands,
    examples=(
        "",
        "only=[toeplitz,locality]",
        "scale=full replicate=true",
        "keep=experiments/results/book",
        "ask=false keep=experiments/results/book",
        "ask=false scale=full keep=experiments/results/book_full",
        "ask=false replicate=true keep=experiments/results/book",
    ),
)
def main(cfg: "DictConfig") -> None:
    """Answer the questions one after the other, each in a process of its own, and write the page.

    What is answered is not asked again: a book that was interrupted goes on where it stopped."""
    from pathlib import Path

    from cnnlab.files import write_atomically
    from cnnlab.lab import Replication, brief, keep, kept, page, replicated

    commands = _commands(cfg)
    if cfg.ask:
        answers, failed = _answers(commands, cfg)
    else:
        answers, failed = kept(Path(cfg.keep), list(commands), scale=cfg.scale)
        if not answers:  # a page of nothing
            raise _unanswered(failed, len(commands))
    answers = [(folder, load(result["question"]).worded(result)) for folder, result in answers]
    if cfg.replicate:
        asked = {result["question"] for _, result in answers}
        other = _with_other_seeds({name: of for name, of in commands.items() if name in asked})
        measured, without = _answers(other, cfg)
        failed |= {f"{name}, replicated": reason for name, reason in without.items()}
        again = {result["question"]: result for _, result in measured}
        answers = [(at, replicated(of, again.get(of["question"]))) for at, of in answers]
    if cfg.keep is not None and (cfg.ask or cfg.replicate):
        keep(answers, Path(cfg.keep))
    file = Path(cfg.output) / f"{cfg.scale}.html"
    write_atomically(file, page(answers, failed, scale=cfg.scale).encode())
    results = [result for _, result in answers]
    text = brief(results)
    write_atomically(file.with_suffix(".md"), text.encode())
    for result in results:
        verdicts = [claim["verdict"] for claim in result["claims"]]
        print(f"{result['question'] + ':':<25} {', '.join(verdicts)}")
    for name, lines in Replication.of(results).lists():
        for line in lines:
            print(f"{name}: {line}")
    print(file)
    if failed:
        raise _unanswered(failed, len(commands))


def _unanswered(failed: dict[str, str], asked: int) -> Exception:
    """Which questions have no answer, by why, in a line."""
    from cnnlab.errors import CnnlabError
    from cnnlab.lab import by_reason

    found = by_reason(failed).items()
    lines = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in found)
    return CnnlabError(f"{len(failed)} of {asked} questions have no answer: {lines}")


def _answers(
    commands: dict[str, list[str]], cfg: "DictConfig"
) -> "tuple[list[tuple[Path, Answer]], dict[str, str]]":
    """The folder and the result of each question that has an answer, and why others have none."""
    from cnnlab.console import progress

    answers, failed = [], {}
    for name, arguments in progress(commands, show=cfg.progress):
        answered = _ask(name, arguments, force=cfg.force)
        if isinstance(answered, str):
            failed[name] = answered
        else:
            answers.append(answered)
    return answers, failed


def _commands(cfg: "DictConfig") -> dict[str, list[str]]:
    """The overrides of each question, all of them checked before the first is asked."""
    from pathlib import Path

    from cnnlab.config import ConfigError, compose, folder_to_write, plain, read_value
    from cnnlab.lab import names_kept

    if not cfg.ask and cfg.keep is None:
        raise ConfigError("ask: expected true with keep=null: there is nothing to make the page of")
    folder_to_write(cfg)
    if cfg.keep is not None and (cfg.ask or cfg.replicate):
        folder_to_write(cfg, "keep")
    names = list(cfg.settings)
    if cfg.only is None and not cfg.ask:
        names = names_kept(Path(cfg.keep), names)
    elif cfg.only is not None:
        names = read_value(f"some of {', '.join(names)}", plain(cfg)["only"], "only")
    shared = [f"scale={cfg.scale}", f"output={cfg.output}", "progress=false"]
    commands = {name: [*shared, *cfg.settings[name]] for name in names}
    for name, arguments in commands.items():
        load(name).check_settings(compose(arguments, name))
    return commands


def _with_other_seeds(commands: dict[str, list[str]]) -> dict[str, list[str]]:
    """The same, so that no seed is one of those before."""
    from cnnlab.config import compose

    seed = {name: compose(arguments, name).seed for name, arguments in commands.items()}
    return {name: [*of, f"seed={seed[name] + 100_000}"] for name, of in commands.items()}


def load(name: str) -> "Question":
    """A question by its name."""
    import importlib

    return importlib.import_module(f"experiments.{name}").question


def _ask(name: str, arguments: list[str], *, force: bool) -> "str | tuple[Path, Answer]":
    """The folder and the result of a question, or in one line why there is none."""
    import subprocess
    import sys

    from cnnlab.config import compose
    from cnnlab.errors import CnnlabError
    from cnnlab.lab import answered, directory_of

    cfg = compose(arguments, name)
    directory = directory_of(name, cfg)
    try:
        if force or answered(directory, cfg) is None:
            # In a process of its own: its memory is given back, and its failure is its own.
            command = [sys.executable, "-m", "cnnlab", name, *arguments, f"force={force}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                lines = done.stderr.strip().splitlines()
                return lines[-1] if lines else f"exit status {done.returncode}"
        return directory.path, directory.read_result()
    except CnnlabError as error:
        return str(error)


if __name__ == "__main__":
    main()
