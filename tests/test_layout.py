"""The house rules that a machine can check: imports go downward, modules stay small."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "experiments" / "questions"
FLOOR = {
    "console": -1,  # below the others of the ground floor
    "errors": -1,
    "arguments": 0,
    "files": 0,
    "jax_internals": 0,
    "machine": 0,
    "versions": 0,
    "ops": 1,
    "data": 1,
    "accelerate": 2,
    "nn": 2,
    "models": 3,
    "train": 4,
    "analysis": 4,
    "config": 5,
    "bench": 6,
    "lab": 6,
    "questions": 7,
    "experiments": 8,
}
# Modules that use what another package keeps to itself. No others may.
PRIVATE = {
    "cnnlab.config.cli": {"hydra._internal.utils"},
    "cnnlab.config.source": {
        "hydra._internal.config_loader_impl",
        "hydra._internal.config_repository",
        "hydra._internal.utils",
    },
    "cnnlab.jax_internals": {
        "jax._src",
        "jax._src.interpreters",
        "jax._src.lru_cache",
        "jax._src.sharding_impls",
    },
}
MODULES = sorted([*ROOT.glob("cnnlab/**/*.py"), *ROOT.glob("experiments/**/*.py")])


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "experiments":
        return "questions" if parts[1] == "questions" else "experiments"
    return parts[1]


def is_question(name):
    """Whether `experiments.<name>` is found among the questions."""
    return bool(name) and any((QUESTIONS / f"{name[0]}{end}").exists() for end in ("", ".py"))


@functools.cache
def imported(path):
    """(module, names) of every import of a module, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.append((module, tuple(alias.name for alias in node.names)))
    return found


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
    own = room(path)
    if own in ("__init__", "__main__"):  # the package's front doors
        return
    pairs = imported(path)
    for name in [m for m, _ in pairs] + [f"{m}.{name}" for m, names in pairs for name in names]:
        parts = name.split(".")
        if parts[0] in ("hydra", "omegaconf"):
            assert own in ("config", "experiments"), f"{path.name} imports {name}"
        other = parts[1] if parts[0] == "cnnlab" and len(parts) > 1 else parts[0]
        if parts[0] == "experiments" and is_question(parts[1:2]):
            other = "questions"
        if other in FLOOR and other != own and parts[0] in ("cnnlab", "experiments"):
            assert FLOOR[other] < FLOOR[own], f"{path.name} (floor of {own}) imports {name}"


def test_modules_are_small():
    sizes = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in MODULES}
    assert len(sizes) > 40
    assert {name: n for name, n in sizes.items() if n > (320 if "questions" in name else 300)} == {}


def test_imports_are_absolute():
    relative = [dotted(p) for p in MODULES for module, _ in imported(p) if module.startswith(".")]
    assert relative == []


def test_what_a_package_keeps_to_itself_is_left_there():
    """A name with a leading underscore is the package's own: of `cnnlab.nn`, say, or of `jax`."""
    package = lambda module: module.split(".")[: 2 if module.startswith("cnnlab.") else 1]
    used = {}
    for path in MODULES:
        own = dotted(path)
        for module, names in imported(path):
            hidden = [n for n in (*module.split("."), *names) if n[:1] == "_" != n[1:2]]
            if hidden and package(module) != package(own):
                used.setdefault(own, set()).add(module)
    assert used == PRIVATE


def test_no_module_needs_itself():
    known = {dotted(p) for p in MODULES}
    needs = {}
    for path in MODULES:
        found = needs[dotted(path)] = set()
        for module, names in imported(path):
            found |= {inner if (inner := f"{module}.{n}") in known else module for n in names}
            found.add(module)
    for module, found in needs.items():
        # A package's `__init__` gathers what is in it: its modules may name it.
        found -= {own for own in found if module.startswith(f"{own}.")} | {module}
    try:
        tuple(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
