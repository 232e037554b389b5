"""An algorithm is what its file says and a line of the registry: everything else follows."""

import ast
import dataclasses
import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from algorithm_checks import are_exact, derivatives_are_plain, vmap_is_a_loop
from primitive_cases import Small, served

from cnnlab import ops
from cnnlab.bench import selection
from cnnlab.bench.agreement import Comparison, compare
from cnnlab.bench.geometries import random_problem
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, choice

ROOT = Path(__file__).parents[2]
NEW = "throwaway"


def registered(monkeypatch, **changes):
    """Another algorithm beside the others: XLA's own, but for some changes."""
    new = dataclasses.replace(REGISTRY[REFERENCE], name=NEW, **changes)
    monkeypatch.setitem(REGISTRY, NEW, new)
    return new


def wrong_in(which):
    """All three passes, one of them too large by a thousandth."""
    right = REGISTRY[REFERENCE]
    passes = {name: functools.partial(right.compute, name) for name in PASSES}
    return passes | {which: lambda *arguments: passes[which](*arguments) * np.float32(1.001)}


@pytest.mark.parametrize("which", PASSES)
def test_an_algorithm_that_is_wrong_in_one_pass_is_caught(monkeypatch, which):
    """By what the tests do with every registered one, and by the agreement tool; a right one
    passes."""
    registered(monkeypatch)
    small = Small(NEW, 1)
    are_exact(NEW, [small.problem])
    registered(monkeypatch, **wrong_in(which))
    assert small in served()
    for check in (lambda: are_exact(NEW, [small.problem]), lambda: derivatives_are_plain(small)):
        jax.clear_caches()
        with pytest.raises(AssertionError):
            check()
    *_, lines = compare(NEW, Comparison(2, {}, 0, 0, {}))
    assert [line.which for line in lines if not line.holds] == [which]


def test_vmap_is_checked_of_it_too(monkeypatch):
    """One whose numbers are others in the larger batch that vmap makes is caught; a right one
    passes."""
    registered(monkeypatch)
    small = Small(NEW, 1)
    vmap_is_a_loop(small)
    right, alone = REGISTRY[REFERENCE], small.problem.x_shape[0]

    def forward(x, kernel, problem):
        factor = 1.001 if x.shape[0] > alone else 1
        return right.compute("forward", x, kernel, problem) * np.float32(factor)

    registered(monkeypatch, forward=forward)
    are_exact(NEW, [small.problem])
    jax.clear_caches()
    with pytest.raises(AssertionError, match="forward"):
        vmap_is_a_loop(small)


def test_everything_knows_a_new_algorithm(monkeypatch):
    """It is asked for by its name, listed, chosen, drawn for and measured."""
    fast = registered(monkeypatch, nanoseconds=lambda *_: 1e-9, extra_memory=lambda p: 2**20)
    shapes = (1, 5, 5, 2), (3, 3, 2, 2)
    problem = ops.describe(*shapes)
    assert NEW in ops.ALGORITHMS and NEW in ops.algorithms(*shapes)
    assert choice.automatic(problem, "forward", "cpu") == NEW
    line = next(v for v in str(ops.algorithms(*shapes)).splitlines() if v.startswith(NEW))
    assert fast.source in line and "1.0 MiB extra" in line and "<- auto: forward" in line
    row = ops.algorithms(*shapes)._repr_html_().partition(f">{NEW}<")[2].partition("</tr>")[0]
    assert ">1.0<" in row and ">auto: forward" in row
    monkeypatch.setenv(choice.VARIABLE, NEW)
    assert choice.check("auto", problem) == NEW
    monkeypatch.delenv(choice.VARIABLE)
    assert fast.refusal(random_problem(NEW, RNG)) is None
    assert NEW in selection.select_algorithms(problem, None)[0]


RNG = np.random.default_rng(0)

# Where a name may be written, beside its own file and the registry: (files, why).
ALLOWED = {
    "cnnlab/ops/algorithms/": "each its own, and the registry's lines",
    "cnnlab/ops/native/": "the engine that two of them call, and the names of its parts",
    "cnnlab/models/reach/rules.py": "of jax's primitives",
    "cnnlab/nn/anti_aliased.py": "how many a filter has",
    "tests/ops/algorithms/": "each its own tests",
    "tests/ops/test_native": "the engine's, and its library's",
    "tests/ops/test_registry.py": "this one",
    "tests/ops/test_primitive.py": "of jax's primitives",
    "tests/nn/test_factories.py": "a layer, which is called as the algorithm that computes it",
    "tests/models/test_vgg.py": "the same",
    "tests/train/test_effects.py": "the same",
    "experiments/book.py": "a question of the lab book",
    "tests/config/": "the same",
    "tests/ops/test_max_pooling.py": "the engine's pooling",
}


BENCHMARKS = ("test_agreement", "test_bench_conv", "test_bench_step", "test_device_check")


def is_of_a_question(path):
    """Whether it is one of the lab book, or its test: questions are about some of them."""
    if path.is_relative_to(ROOT / "experiments" / "questions"):
        return True
    return path.is_relative_to(ROOT / "tests" / "experiments") and path.stem not in BENCHMARKS


def test_no_algorithm_is_named_outside_its_own_file():
    """Nothing is decided by a name: neither in the package nor in its commands and tests."""
    found = []
    rooms = ("cnnlab", "experiments", "tests")
    files = [file for room in rooms for file in (ROOT / room).rglob("*.py")]
    for path in sorted(files):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(tuple(ALLOWED)) or is_of_a_question(path):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                asked = re.fullmatch(r"algorithms?=\[?([\w,]+)\]?", node.value)
                words = asked[1].split(",") if asked else [node.value]
                if set(words) & set(REGISTRY):
                    found.append(f"{place}:{node.lineno}: {node.value!r}")
    assert found == []
