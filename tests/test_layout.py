"""The house rules that a machine can check: imports go downward, modules stay small."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "experiments" / "questions"
FLOOR = {
    "errors": -3,  # below the others of the ground floor
    "notebook": -2,
    "console": -1,
    "arguments": 0,
    "files": -1,
    "claims": 0,
    "jax_internals": 0,
    "libraries": -2,
    "code": -1,
    "content": 0,
    "display": -1,
    "machine": 0,
    "switch": 0,
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
    "testing": 7,
    "questions": 7,
    "experiments": 8,
}
# Modules that use what another package keeps to itself. No others may.
PRIVATE = {
    "cnnlab.config.hydra_internals": {
        "hydra._internal.config_loader_impl",
        "hydra._internal.config_repository",
        "hydra._internal.utils",
    },
    "cnnlab.jax_internals": {
        "jax._src",
        "jax._src.clusters",
        "jax._src.interpreters",
        "jax._src.lib",
        "jax._src.lru_cache",
        "jax._src.sharding_impls",
    },
}
MODULES = sorted([*ROOT.glob("cnnlab/**/*.py"), *ROOT.glob("experiments/**/*.py")])
FRONT_DOORS = ("cnnlab", "cnnlab.__main__")  # they hand out what is on any floor


def dotted(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {dotted(path): path for path in MODULES}


def full(name):
    """A question is found as `experiments.<name>` as well: one name for each module."""
    top, _, rest = name.partition(".")
    question = f"experiments.questions.{rest}"
    found = top == "experiments" and home(question) not in (None, "experiments")
    return question if found and name not in KNOWN else name


def home(name):
    """The module of ours that a dotted name is, or is in; None where it is of another package."""
    while name and name not in KNOWN:
        name = name.rpartition(".")[0]
    return name or None


@functools.cache
def nodes(path):
    """Of a module's syntax tree, all of them."""
    return list(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imported(path):
    """(module, names) of every import of a module, also inside functions."""
    found = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [(full(alias.name), ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.append((full(module), tuple(alias.name for alias in node.names)))
    return found


def needed(path):
    """Dotted names of what a module imports, modules and names in them."""
    return {full(f"{m}.{n}" if n else m) for m, names in imported(path) for n in (names or ("",))}


def room(name):
    """Which of `FLOOR` one of our dotted names is in."""
    parts = name.split(".")
    if parts[0] == "experiments":
        return "questions" if parts[1:2] == ["questions"] else "experiments"
    return parts[1]


def package(name):
    """What may share private names: a room of `cnnlab`, a question, any other distribution."""
    parts = name.split(".")
    if parts[0] == "experiments":
        return parts[: 3 if parts[1:2] == ["questions"] else 1]
    return parts[: 2 if parts[0] == "cnnlab" else 1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
    module = dotted(path)
    if module in FRONT_DOORS:
        return
    own = room(module)
    for name in needed(path):
        top = name.split(".")[0]
        if top in ("hydra", "omegaconf"):
            assert own in ("config", "experiments"), f"{module} imports {name}"
        if home(name) in FRONT_DOORS:
            assert top != module.split(".")[0], f"{module} imports {name} through the front door"
        elif home(name) and room(name) != own:
            assert FLOOR[room(name)] < FLOOR[own], f"{module} (floor of {own}) imports {name}"


def test_every_room_has_a_floor():
    assert {room(m) for m in KNOWN if m not in FRONT_DOORS} == FLOOR.keys()


def test_modules_are_small():
    sizes = {module: len(path.read_text().splitlines()) for module, path in KNOWN.items()}
    assert len(sizes) > 40
    assert {name: n for name, n in sizes.items() if n > (320 if "questions" in name else 300)} == {}


def test_imports_are_absolute():
    relative = [dotted(p) for p in MODULES for module, _ in imported(p) if module.startswith(".")]
    assert relative == []


def hidden(name):
    return name[:1] == "_" != name[1:2]


def test_what_a_package_keeps_to_itself_is_left_there():
    """A name with a leading underscore is the package's own: of `cnnlab.nn`, say, or of `jax`."""
    used = {}
    for module, path in KNOWN.items():
        for other, names in imported(path):
            private = any(map(hidden, (*other.split("."), *names)))
            if private and package(other) != package(module):
                used.setdefault(module, set()).add(other)
    assert used == PRIVATE


def bound(path):
    """What the names of a module's imports stand for."""
    found = {}
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                found[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            found |= {a.asname or a.name: full(f"{node.module}.{a.name}") for a in node.names}
    return found


def test_nor_is_it_reached_through_a_module():
    """`module._name` of something imported from another package."""
    reached = []
    for module, path in KNOWN.items():
        names = bound(path)
        for node in nodes(path):
            if isinstance(node, ast.Attribute) and hidden(node.attr):
                start = node.value
                while isinstance(start, ast.Attribute):
                    start = start.value
                of = names.get(start.id) if isinstance(start, ast.Name) else None
                if of and package(of) != package(module) and module not in PRIVATE:
                    reached.append((module, ast.unparse(node)))
    assert {name for _, name in reached} <= {"os._exit"}, reached  # which is documented


def circle(needs):
    """Names of which each needs the one before it, the last the first; empty where none are."""
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_module_needs_itself():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not circle({"a": {"b"}, "b": {"c"}})
    needs = {}
    for module, path in KNOWN.items():
        found = {home(name) for name in needed(path)} - {None, module}
        # A package's `__init__` gathers what is in it: its modules may name it.
        needs[module] = {other for other in found if not module.startswith(f"{other}.")}
    assert "cnnlab.files" in needs["cnnlab.train.rundir"]
    assert circle(needs) == []
