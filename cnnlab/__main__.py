"""`cnnlab train ...`: the commands of `experiments/`, in a clone or as a wheel installs them.

They run from any folder, also from one that has a folder `experiments` of its own.
"""

import ast
import importlib
import sys
import textwrap
from pathlib import Path

from cnnlab.console import program, project, unread

REFUSED, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command that the first argument names, with the others as its own; without one, list
    them all."""
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        status = unread()
    except KeyboardInterrupt:  # while its modules load
        print("interrupted", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)


def _run(arguments: list[str]) -> int | None:
    name, rest = (arguments or ["--help"])[0], arguments[1:]
    if name in ("--help", "-h", "help"):
        print(_listing())
        return 0
    folder = project() / "experiments"
    if not name.isidentifier() or not any(_file(part, name) for part in _parts(folder)):
        print(f"error: {_refusal(name, folder)}", file=sys.stderr)
        return REFUSED
    sys.path.insert(0, str(project()))  # ahead of the current folder
    sys.argv = [f"{program()} {name}", *rest]
    return importlib.import_module(f"experiments.{name}").main()


def _parts(folder: Path) -> list[Path]:
    return [folder, folder / "questions"]


def _file(folder: Path, name: str) -> Path | None:
    """The file of a command, which may be a folder's."""
    found = (file for file in (folder / f"{name}.py", folder / name / "__init__.py"))
    return next((file for file in found if file.is_file() and "main" in file.read_text()), None)


def _commands(folder: Path) -> dict[str, str]:
    """What the commands of a folder do, in a line each, by name."""
    names = sorted(path.stem for path in folder.glob("[a-z]*"))
    files = {name: file for name in names if (file := _file(folder, name))}
    return {name: _about(file) for name, file in files.items()}


def _about(file: Path) -> str:
    """The first paragraph of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return textwrap.shorten(text.split("\n\n")[0], 92, placeholder=" ...")


def _listing() -> str:
    front = program()
    lines = [f"usage: {front} COMMAND [--help] [flags] [group=choice ...] [key=value ...]"]
    titles = ("Commands:", "Questions of the lab book, which are commands, too:")
    for title, folder in zip(titles, _parts(project() / "experiments"), strict=True):
        lines += ["", title, *(f"  {n:<24}{about}" for n, about in _commands(folder).items())]
    return "\n".join([*lines, "", f"{front} COMMAND --help: its groups, keys and examples"])


def _refusal(name: str, folder: Path) -> str:
    from cnnlab.config.messages import nearest, shortened

    close = nearest(name, [n for part in _parts(folder) for n in _commands(part)])
    hint = f"did you mean {close}?" if close else f"{program()} lists them"
    return f"{shortened(name)}: no such command; {hint}"


if __name__ == "__main__":
    main()
