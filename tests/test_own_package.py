"""A package of somebody's own, installed by pip, no line of cnnlab changed: a layer, a backbone,
a data set, a loss, an algorithm, a question; and the lab's own tests of them."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
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
    blurs: int = eqx.field(static=True)

    def __init__(self, in_shape, *, blurs: Annotated[int, "whole number >= 0"] = 1, conv, key):
        super().__init__(in_shape, [4, "M"], conv=conv, key=key)
        self.blurs = blurs

    def __call__(self, x, state, *, key=None):
        return super().__call__(Blur()(x) if self.blurs else x, state, key=key)
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
QUESTION = """\
from cnnlab import lab
from throwaway import CONFIGS

question = lab.Question("blurring", "Does it help to blur the images first?")

@lab.compare(question, "A 2.2", lab.at_least, -1.0, backbone=["blurred", "sharp"], seeds=2)
def accuracy(backbone, seeds):
    \'\'\'Without the blur, no more is lost than there was.\'\'\'
    settings = {"backbone": backbone, "data": "bright", "loss": "brier", "norm": "none", "steps": 2}
    study = lab.Study(settings | {"batch_size": 8}, trust=["throwaway"], extra_dir=CONFIGS)
    return [study.evaluate(study.train(seed)).accuracy for seed in seeds]

main = lab.command(question)
"""
IMPORTS = """\
import dataclasses
from pathlib import Path
from typing import Annotated
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
from cnnlab import nn
from cnnlab.data import from_arrays
from cnnlab.models import VGG
from cnnlab.ops.algorithms.base import OWN_SUM, Algorithm, Domain
from cnnlab.ops.patches import unfold

CONFIGS = Path(__file__).parent / "configs"

"""
WRONG = """
class Offset(nn.ShapePreserving):
    def __call__(self, x, *, key=None):
        return x - x.mean(0)
"""
FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "throwaway"
version = "1"
scripts = {blurring = "throwaway.blurring:main"}
""",
    "throwaway/__init__.py": IMPORTS + "\n\n".join(GLUE.values()) + WRONG,
    "throwaway/blurring.py": QUESTION,
    "throwaway/configs/backbone/blurred.yaml": "_target_: throwaway.Blurred\n",
    "throwaway/configs/backbone/sharp.yaml": "_target_: throwaway.Blurred\nblurs: 0\n",
    "throwaway/configs/loss/brier.yaml": "_target_: throwaway.Brier\nweight: 2.0\n",
    "throwaway/configs/data/bright.yaml": "_target_: throwaway.bright\n",
}
CHOSEN = ("backbone=blurred", "data=bright", "loss=brier", "norm=none", "steps=2", "batch_size=8")
ROOT = str(Path(cnnlab.__file__).parents[1])


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment that it was installed into, which sees what is installed here."""
    source, place = (tmp_path_factory.mktemp(name) for name in ("source", "environment"))
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    venv.create(place)
    [packages] = place.glob("lib/*/site-packages")
    here = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (packages / "here.pth").write_text(f"import site; [*map(site.addsitedir, {sorted(here)})]\n")
    install = ["pip", "--python", str(place), "install", "-q", "--disable-pip-version-check"]
    install += ["--no-index", "--no-deps", "--no-build-isolation", str(source)]
    subprocess.run([sys.executable, "-m", *install], check=True)
    return place


@pytest.fixture
def package(environment, tmp_path, monkeypatch):
    """Where it is installed, for this process."""
    [packages] = environment.glob("lib/*/site-packages")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.chdir(tmp_path)
    yield packages / "throwaway"
    for name in [name for name in sys.modules if name.partition(".")[0] == "throwaway"]:
        del sys.modules[name]


def test_each_takes_a_few_lines():
    for text in (*GLUE.values(), QUESTION):
        assert sum(map(bool, text.splitlines())) <= 10


def test_its_question_is_answered(package, monkeypatch, capsys):
    from throwaway import blurring

    monkeypatch.setattr(sys, "argv", ["blurring", "output=answers", "progress=false"])
    blurring.main()
    said = capsys.readouterr().out
    assert re.search(r"^(HOLDS|FAILS|INCONCLUSIVE) +A 2.2: Without the blur", said, re.M), said
    [answer] = Path("answers").glob("blurring/*/results.json")
    assert (answer.parent / "figures" / "accuracy.png").is_file()
    assert "| sharp |" in (answer.parent / "tables.md").read_text()


def test_a_run_is_keyed_by_all_of_it(package):
    def key(*more):
        chosen = [*CHOSEN, "progress=false", *more]
        cfg = compose(chosen, extra_dir=package / "configs", trust=["throwaway"])
        return build(cfg).directory.path

    keys = [key(), key("+data.seed=1"), key("loss.weight=1.0"), key("backbone=sharp")]
    assert key() == keys[0]
    with (package / "__init__.py").open("a") as file:
        file.write("\nCHANGED = True\n")
    assert len({*keys, key()}) == 5


def test_the_labs_own_tests_of_it(environment, tmp_path):
    """All pass but one, of a layer whose examples depend on each other."""
    parts = ["--layer", "throwaway.Blur", "--layer", "throwaway.Offset", "--data"]
    parts += ["throwaway.bright", "--algorithm", "throwaway.ROWS", "--layer", "throwaway.Blurred"]
    parts += ["-k", "not Offset or vmap"]
    command = [environment / "bin" / "python", "-m", "pytest", "-q", "--pyargs", "cnnlab.testing"]
    # By name, as cnnlab may have been installed before it had the plugin.
    plugin = ["-p", "cnnlab.testing.plugin", "-p", "no:cnnlab"]
    done = subprocess.run(
        [*command, *plugin, *parts],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    failed = re.findall(r"^FAILED .*::(\S+) ", done.stdout, re.MULTILINE)
    assert failed == ["test_batches_and_vmap[throwaway.Offset]"], done.stdout + done.stderr
    assert "13 passed" in done.stdout
    says = "throwaway.Blurred: it needs in_shape, conv, key; name a function without arguments"
    assert done.stdout.count(says) >= 5
