"""The notebooks run from a clean kernel, and their exercises take right answers only."""

import functools
import importlib.util
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import nbclient
import nbformat
import numpy as np
import pytest

from cnnlab import nn

FOLDER = Path(__file__).parents[2] / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
KEY = jax.random.key(0)


@functools.cache
def checks():
    spec = importlib.util.spec_from_file_location("checks", FOLDER / "checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sources(path):
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_a_clean_kernel_and_shows_pictures(path, monkeypatch):
    places = [str(FOLDER.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    monkeypatch.delenv("MPLBACKEND")  # as the tests have it; a kernel has one of its own
    notebook = nbformat.read(path, 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}
    ).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    said = "".join(out.text for out in outputs if out.output_type == "stream")
    assert any("image/png" in out.get("data", {}) for out in outputs)
    assert said.count("your turn") == 3
    assert [out.text for out in outputs if out.get("name") == "stderr"] == []


def test_each_exercise_is_asked_in_one_notebook():
    asked = [
        source.partition('check("')[2].partition('"')[0]
        for path in NOTEBOOKS
        for source in sources(path)
        if "check(" in source
    ]
    assert len(NOTEBOOKS) == 5 and sorted(asked) == sorted(checks().EXERCISES)


def moved(axis, tap):
    kernel = np.zeros((3, 3, 1, 3))
    kernel[(1, tap) if axis else (tap, 1)] = 1
    return kernel


def blur(size, weight):
    conv = nn.Conv2d(3, 3, size, groups=3, use_bias=False, key=KEY)
    return eqx.tree_at(lambda c: c.weight, conv, jnp.full(conv.weight.shape, weight))


def squared(axis):
    return lambda predicted, given: jnp.mean((predicted - given) ** 2, axis)


ANSWERS = {
    "parameters": ([4640], [4608, 144, "4640 parameters"]),
    "size": ([(14, 14), [14, 14]], [(13, 13), 14, (14, 14, 32)]),
    "multiply_adds": ([3_612_672], [4608, 28 * 28]),
    "kernel": ([moved(1, 0)], [moved(1, 2), moved(0, 0), np.zeros((3, 3, 3, 3)), "left"]),
    "matrix": ([(256, 128)], [(128, 256), (64, 64)]),
    "length": ([108], [100, 109]),
    "field": ([9], [12, 81, (9, 9)]),
    "plan": ([[8, "M", 8, 8, "M", 8], (8, 8, 8, 8, 8, 8, 8, 8)], [[8], [8, "M"] * 5, 7, ["x"]]),
    "offset": ([(2, 0), (4, -2)], [(1, 0), (0, 0), (2,), 2]),
    "blur": ([blur(3, 1 / 9)], [blur(3, 1.0), blur(5, 1 / 25), lambda x: x]),
    "channels": (
        [nn.Conv2d(3, 12, 3, groups=3, key=KEY)],
        [nn.DepthwiseConv2d(3, 3, key=KEY), lambda x: x, nn.Conv2d(3, 12, 3, key=KEY)],
    ),
    "loss": ([squared(-1)], [squared(None), lambda predicted, given: predicted - given, abs]),
    "saving": ([9 * 128 / (9 + 128)], [8, 9]),
    "spread": ([2, 2.0], [np.sqrt(8 / 3), 4]),
    "runs": ([30], [10, [3, 2, 5]]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_right_answers_are_accepted_and_wrong_ones_refused(name, capsys):
    check = checks().check
    right, wrong = ANSWERS[name]
    assert all(check(name, answer) for answer in right)
    assert not any(check(name, answer) for answer in [*wrong, None])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(right) + len(wrong) + 1  # a line for each, whatever was given
    assert lines[-1] == f"{name}: your turn"


def test_every_exercise_has_answers_that_are_tried():
    assert ANSWERS.keys() == checks().EXERCISES.keys()
