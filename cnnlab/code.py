"""What functions, classes and modules are made of, for `content.digest`: (name, part) pairs.

What is of Python, of cnnlab, or of what cnnlab is made of (`libraries`) is known by its name: their
versions are not part of a result's key. Of other installed packages the content of their files
counts. All other code is what it says: bytecode, constants, what closures hold, defaults, and the
global names that it reads, whatever these lead to.
"""

import dis
import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import numpy as np

from cnnlab.libraries import is_library

Parts = Iterator[tuple[str, object]]


class Unknowable(Exception):
    """A thing that its content can't be told by; the message says why."""


# What these give can't be seen in code that calls them.
_UNSEEN = {
    **dict.fromkeys(("eval", "exec", "compile", "__import__"), "runs code that can't be seen"),
    **dict.fromkeys(("globals", "vars", "locals"), "reads names that can't be seen"),
    **dict.fromkeys(("open", "input"), "reads what may change"),
}
_UNSEEN_MODULES = {"importlib": "imports what can't be seen", "runpy": "runs other code"}
_VALUES = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset, np.ndarray)
# Of a class: what is no part of what it does.
_SKIPPED = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__orig_bases__"),
    *("__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
    *("__match_args__", "__parameters__", "__firstlineno__", "__static_attributes__"),
    *("__annotate__", "__annotate_func__", "__annotations_cache__", "__type_params__"),
}


def top_level(name: object) -> str:
    """The first part of a dotted name."""
    return str(name).partition(".")[0]


def function_parts(function: FunctionType) -> Parts:
    """By the module whose names it reads, not by the name that it gives itself."""
    place, code = str(function.__globals__.get("__name__", "")), function.__code__
    package = _package(top_level(place))
    if package is not None:
        yield "", f"{place}.{code.co_qualname} {package}"
        if "<locals>" not in code.co_qualname and "<lambda>" not in code.co_qualname:
            return
    yield "", code
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            yield name, "no value yet"
    yield "its defaults", (function.__defaults__, function.__kwdefaults__)
    if package is None:
        yield "its attributes", dict(vars(function))
        yield from _globals(function)


def _globals(function: FunctionType) -> Parts:
    """What the global names stand for that a function, or one within it, reads, and what it
    imports."""
    read, imported = set(), set()
    for code in _codes(function.__code__):
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
                read.add(str(step.argval))
            elif step.opname == "IMPORT_NAME":
                imported.add(str(step.argval))
    known = function.__globals__
    for name in sorted(read):
        if name in known:
            yield name, known[name]
        elif name in _UNSEEN:
            raise Unknowable(f"it calls {name}, which {_UNSEEN[name]}")
        else:
            yield "", f"builtin {name}"
    for name in sorted(imported):
        top = top_level(name or known.get("__package__"))
        yield f"import {top}", _Named(top)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def code_parts(code: CodeType) -> Parts:
    """All that bytecode does, without where it stands."""
    yield "", (code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    yield "", (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)
    yield "", code.co_exceptiontable
    for constant in code.co_consts:
        yield "", constant


def class_parts(cls: type) -> Parts:
    """A class's name, its bases, and all that stands in it."""
    yield "", f"{cls.__module__}.{cls.__qualname__}"
    package = _package(top_level(cls.__module__))
    if package is not None:
        yield "", f"{cls!r} {package}"
        return
    yield "", type(cls)
    for base in cls.__bases__:
        yield "", base
    for name, value in sorted(vars(cls).items()):
        if name not in _SKIPPED:
            yield name, value


class _Named:
    """A top-level module by its name: it need not have been imported."""

    def __init__(self, name: str) -> None:
        self.name = name


def module_parts(module: "ModuleType | _Named") -> Parts:
    """A library by its name, another module by the files of all its package."""
    name = module.name if isinstance(module, _Named) else module.__name__
    top = top_level(name)
    yield "", name
    if top in _UNSEEN_MODULES:
        raise Unknowable(f"it uses {top}, which {_UNSEEN_MODULES[top]}")
    if top == "__main__":
        raise Unknowable("it is all of this program")
    package = _package(top)
    yield "", package or files_digest(top)
    if package is None and isinstance(module, ModuleType):
        yield from _settings(module)


def _settings(module: ModuleType) -> Parts:
    """The values in a module, and what of others' was put there: they may not be what its files
    say."""
    for name, value in sorted(vars(module).items()):
        foreign = isinstance(value, FunctionType) and value.__globals__ is not vars(module)
        if not name.startswith("__") and (foreign or isinstance(value, _VALUES)):
            yield name, value


def is_module(thing: object) -> bool:
    """Whether `module_parts` is what takes it apart."""
    return isinstance(thing, ModuleType | _Named)


def _package(top: str) -> str | None:
    """What stands for all code of a top-level module whose names are enough: a library's own, the
    digest of an installed package; None of what is to be looked into."""
    if is_library(top):
        return top if top != "__main__" else None
    origin = _origin(top)
    installed = origin is not None and any(
        Path(origin).is_relative_to(sysconfig.get_path(path)) for path in ("purelib", "platlib")
    )
    return files_digest(top) if installed else None


def _origin(top: str) -> str | None:
    """The file of a top-level module."""
    try:
        spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
    except ValueError:
        return None
    origin = None if spec is None else spec.origin
    return origin if origin and Path(origin).is_file() else None


def files_digest(top: str) -> str:
    """16 hex digits of the files of a top-level module, its package's with all below it.

    **Raises:** `Unknowable`: it has none.
    """
    origin = _origin(top)
    if origin is None:
        raise Unknowable(f"the module {top} has no files")
    file = Path(origin)
    files = [file] if file.name != "__init__.py" else sorted(file.parent.rglob("*"))
    kept = [f for f in files if f.is_file() and f.suffix != ".pyc"]
    stamps = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in kept)
    return _digest_of(str(file.parent), stamps)


@functools.lru_cache(maxsize=64)
def _digest_of(root: str, stamps: tuple[tuple[str, int, int], ...]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for name, _, _ in stamps:
        content = Path(name).read_bytes()
        found.update(f"{Path(name).relative_to(root)} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()
