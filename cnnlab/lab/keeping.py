"""Answers kept small enough to be committed."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from cnnlab.errors import ConfigError
from cnnlab.files import write_atomically
from cnnlab.lab.answer import FORM, UNHASHED
from cnnlab.lab.page import Answer

FILE = "answer.json"


def keep(answers: Sequence[tuple[Path, Answer]], folder: Path) -> None:
    """Write each answer, without data and place, and its figures to `folder/<question>/`."""
    for source, result in answers:
        kept = folder / result["question"]
        small = {name: value for name, value in result.items() if name not in ("data", "crc32")}
        small["config"] = {k: v for k, v in result["config"].items() if k not in UNHASHED}
        write_atomically(kept / FILE, f"{json.dumps(small, indent=1)}\n".encode())
        if source == kept:  # only its words are new
            continue
        shutil.rmtree(kept / "figures", ignore_errors=True)
        for name in result["figures"]:
            for file in source / f"figures/{name}.png", *source.glob(f"figures/{name}-narrow.png"):
                write_atomically(kept / "figures" / file.name, file.read_bytes())


def names_kept(folder: Path, questions: Sequence[str]) -> list[str]:
    """Of which of these questions `keep` has written an answer.

    **Raises:** `ConfigError` where it is none of them.
    """
    found = [name for name in questions if (folder / name / FILE).is_file()]
    if not found:
        raise ConfigError(f"keep: expected a folder of kept answers, got {folder}")
    return found


def kept(
    folder: Path, questions: Sequence[str], *, scale: str
) -> tuple[list[tuple[Path, Answer]], dict[str, str]]:
    """What `keep` has written of these questions, and why others have no answer: those of another
    scale have none here."""
    answers, failed = [], {}
    for name in questions:
        file = folder / name / FILE
        try:
            result = json.loads(file.read_text())
            if not isinstance(result, dict) or not result.keys() >= FORM:
                raise ValueError
            if (other := result["config"]["scale"]) != scale:
                failed[name] = f"what is kept in {folder} is of scale={other}"
                continue
            answers.append((file.parent, result))
        except FileNotFoundError:
            failed[name] = f"none is kept in {folder}"
        except OSError as error:
            failed[name] = f"{file}: {error.strerror}"
        except (ValueError, KeyError, TypeError):
            failed[name] = f"{file}: not an answer that keep={folder} wrote"
    return answers, failed
