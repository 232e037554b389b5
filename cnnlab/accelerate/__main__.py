"""Run a script, or with -m a module, accelerated: a program that knows nothing of cnnlab.

python -m cnnlab.accelerate [--verbose] script.py ARGS
python -m cnnlab.accelerate [--verbose] -m module ARGS
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import cast

from cnnlab.accelerate.startup import with_jax
from cnnlab.console import program, unread

REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; as Python itself does, but that it is accelerated.

    **Returns:** the exit status, where the program does not exit by itself.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    verbose = given[:1] == ["--verbose"]
    given = given[verbose:]
    module = given[:1] == ["-m"]
    given = given[module:]
    if not given or given[0].startswith("-"):
        wanted = "[--verbose] script.py ARGS, or [--verbose] -m module ARGS"
        asked = given[:1] in (["-h"], ["--help"])
        try:
            print(f"usage: {program()} {wanted}", file=sys.stdout if asked else sys.stderr)
            sys.stdout.flush()
        except BrokenPipeError:
            return unread()
        return 0 if asked else REFUSED
    name = given[0]
    spec = _module(name) if module else _script(name)
    if spec is None:
        print(f"error: {name}: no such {'module' if module else 'script'}", file=sys.stderr)
        return REFUSED
    with_jax(verbose)
    sys.argv = [str(spec.origin) if module else name, *given[1:]]
    _run(spec)
    return 0


def _module(name: str) -> ModuleSpec | None:
    """What `python -m` runs: a package's `__main__`."""
    _look_first_in(os.getcwd())
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # something that a package of it needs
        return None
    return spec


def _script(path: str) -> ModuleSpec | None:
    """What `python` runs: a file, or the `__main__` of a folder or an archive."""
    if not os.path.exists(path):
        return None
    whole = os.path.abspath(path)
    if inside := PathFinder.find_spec("__main__", [whole]):
        _look_first_in(whole)
        return inside
    _look_first_in(os.path.dirname(os.path.realpath(path)))
    loader = None if path.endswith(".pyc") else SourceFileLoader("__main__", whole)
    return importlib.util.spec_from_file_location("__main__", whole, loader=loader)


def _look_first_in(folder: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _run(spec: ModuleSpec) -> None:
    """In the place of this module, for good: there threads, what is done at exit, and processes
    that it starts look for what they pickle."""
    main, loader = importlib.util.module_from_spec(spec), cast(InspectLoader, spec.loader)
    main.__name__ = "__main__"
    if spec.name == "__main__":
        main.__spec__ = main.__package__ = None
    sys.modules["__main__"] = main
    if isinstance(loader, SourceFileLoader) and main.__spec__ is None:
        code = loader.source_to_code(loader.get_data(loader.path), loader.path)  # not kept on disk
    else:
        code = loader.get_code(spec.name)
    if code is None:
        raise ImportError(f"{spec.name}: it is not written in Python")
    exec(code, vars(main))


if __name__ == "__main__":
    sys.exit(main())
