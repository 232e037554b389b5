"""The house rules that a machine can check: imports go downward, modules stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "experiments" / "questions"
FLOOR = {
    "errors": -1,  # below the others of the ground floor
    "arguments": 0,
    "files": 0,
    "machine": 0,
    "versions": 0,
    "ops": 1,
    "data": 1,
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
MODULES = sorted([*ROOT.glob("cnnlab/**/*.py"), *ROOT.glob("experiments/**/*.py")])


def room(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "experiments":
        return "questions" if parts[1] == "questions" else "experiments"
    return parts[1]


def is_question(name):
    """Whether `experiments.<name>` is found among the questions."""
    return bool(name) and any((QUESTIONS / f"{name[0]}{end}").exists() for end in ("", ".py"))


def imported(path):
    """The dotted names that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
    own = room(path)
    if own == "__init__":  # the package's lazy front door
        return
    for name in imported(path):
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
