"""A package of somebody's own, no line of cnnlab changed: a layer, a backbone, a data set, a loss,
an algorithm, a question; and the lab's own tests of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnnlab
from cnnlab.config import build, compose

GLUE = {
    "layer": """\
class Blur(nn.ShapePreserving):
    def __call__(self, x, *, key=None):
        return (x + jnp.roll(x, 1, -2) + jnp.roll(x, -1, -2)) / 3
""",
    "backbone": """\
class Blurred(VGG):
    def __init__(self, in_shape, *, width: Annotated[int, "channel count > 0"] = 4, conv, key):
        super().__init__(in_shape, [width, "M"], conv=conv, key=key)

    def __call__(self, x, state, *, key=None):
        return super().__call__(Blur()(x), state, key=key)
""",
    "data set": """\
def bright(n: Annotated[int, "whole number >= 10"] = 60, seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, 6, 6, 1)).astype(np.uint8)
    return from_arrays((x, (x.mean((1, 2, 3)) > 127).astype(int)))
""",
    "loss": """\
@dataclasses.dataclass(frozen=True)
class Brier:
    weight: float = 1.0

    def __call__(self, scores, target):
        return self.weight * jnp.square(jax.nn.softmax(scores) - target).sum(-1)
""",
    "algorithm": """\
ROWS = Algorithm(
    name="rows", source="A 6.2", errors=OWN_SUM, domain=Domain(grouped=False),
    refusal=lambda problem: None if problem.groups == 1 else "it has groups",
    forward=lambda x, kernel, p: unfold(
        x, p.kernel_size, stride=p.stride, padding=p.padding, dilation=p.dilation
    ) @ kernel.reshape(-1, p.out_channels),
    multiply_adds=lambda problem: problem.multiply_adds, extra_memory=lambda problem: 0,
)
""",
}
IMPORTS = """\
import dataclasses
from typing import Annotated
import jax, jax.numpy as jnp, numpy as np
from cnnlab import nn
from cnnlab.data import from_arrays
from cnnlab.models import VGG
from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm, Domain
from cnnlab.ops.patches import unfold

"""
WRONG = """
class Offset(nn.ShapePreserving):
    def __call__(self, x, *, key=None):
        return x - x.mean(0)
"""
FILES = {
    "throwaway/__init__.py": IMPORTS + "\n\n".join(GLUE.values()) + WRONG,
    "configs/backbone/blurred.yaml": "_target_: throwaway.Blurred\n",
    "configs/loss/brier.yaml": "_target_: throwaway.Brier\nweight: 2.0\n",
    "configs/data/bright.yaml": "_target_: throwaway.bright\n",
}
CHOSEN = ("backbone=blurred", "data=bright", "loss=brier", "norm=none", "steps=2", "batch_size=8")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder that holds it, on the path."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    page = (Path(cnnlab.__file__).parents[1] / "docs" / "questions.md").read_text()
    [question] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "throwaway" / "strides.py").write_text(question)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "throwaway"]:
        del sys.modules[name]


def test_each_takes_a_few_lines(package):
    assert all(len(text.splitlines()) <= 10 for text in GLUE.values())


def test_it_trains(package):
    make = lambda *more: build(
        compose(
            [*CHOSEN, "progress=false", *more], extra_dir=package / "configs", trust=["throwaway"]
        )
    )
    lab = make()
    assert lab.run()["data"] == "arrays"
    assert make().directory.complete()
    assert not make("+data.seed=1").directory.complete()
    assert not make("loss.weight=1.0").directory.complete()
    # Its code is part of what made the result.
    with (package / "throwaway" / "__init__.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    assert not make().directory.complete()


def test_its_question_is_answered(package, monkeypatch, capsys):
    from throwaway import strides

    monkeypatch.setattr(sys, "argv", ["strides", "output=answers", "progress=false"])
    strides.main()
    assert "HOLDS" in (said := capsys.readouterr().out), said


def test_the_labs_own_tests_of_it(package):
    """All pass but one, of a layer whose examples depend on each other."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "cnnlab.testing.plugin",
        "-p",
        "no:cnnlab",
    ]
    parts = ["--layer", "throwaway.Blur", "--layer", "throwaway.Offset", "--data"]
    parts += ["throwaway.bright", "--algorithm", "throwaway.ROWS", "--layer", "throwaway.Blurred"]
    done = subprocess.run(
        [*command, "--pyargs", "cnnlab.testing", *parts],
        capture_output=True,
        text=True,
        cwd=package,
        env={**os.environ, "PYTHONPATH": f"{package}:{Path(cnnlab.__file__).parents[1]}"},
    )
    failed = re.findall(r"^FAILED .*::(\S+) ", done.stdout, re.MULTILINE)
    assert failed == ["test_batches_and_vmap[throwaway.Offset]"], done.stdout
    assert "17 passed" in done.stdout
    says = "throwaway.Blurred: it needs in_shape, conv, key; name a function without arguments"
    assert done.stdout.count(says) >= 5
