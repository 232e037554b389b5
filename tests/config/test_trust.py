"""What configs may name of a user's own modules: what these define, once he has said so."""

import importlib
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cnnlab.config import ConfigError, build, compose, granted, load_config, load_run
from cnnlab.config.cli import cli
from cnnlab.config.trust import take_trust

OWN = {
    "ownlab/__init__.py": """\
import os
from subprocess import Popen
import functools, jax
import equinox as eqx
from typing import Annotated
from cnnlab.files import write_atomically
from cnnlab.models import VGG, LinearHead

class Narrow(VGG):
    def __init__(
        self, in_shape, *, conv, key,
        width: Annotated[int, "channel count > 0"], act="relu", deep: bool = False,
    ):
        super().__init__(in_shape, [width, "M"], conv=conv, key=key, activation=act)

def shell(command="true"):
    raise AssertionError("it was called")

_hidden = shell
shell_of = functools.partial(os.system, "true")
""",
    "ownlab/more.py": """\
from ownlab import Narrow

def thin(in_shape, *, conv, key):
    return Narrow(in_shape, width=2, conv=conv, key=key)
""",
    "ownlab/broken.py": "import nothing_of_this_name\n",
    "plain/readme.txt": "no package\n",
    "configs/backbone/narrow.yaml": "_target_: ownlab.Narrow\nwidth: 3\nact: relu\n",
    "configs/backbone/thin.yaml": "_target_: ownlab.more.thin\n",
    "configs/experiment/evil.yaml": "# @package _global_\ntrust: [ownlab]\n",
    "configs/experiment/sweep.yaml": """\
# @package _global_
hydra: {mode: MULTIRUN, sweeper: {params: {trust: '[ownlab]'}}}
""",
    "configs/mine/quick.yaml": "# @package _global_\nepochs: 7\n",
}  # fmt: skip
TINY = ("data=fake", "data.shape=[6,6,1]", "norm=none", "progress=false", "steps=2")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder on the path with the package `ownlab`, and with configs that name what it has."""
    folder = tmp_path_factory.mktemp("own")
    for name, text in OWN.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "ownlab"]:
        del sys.modules[name]


def composed(own, *overrides, trust=("ownlab",)):
    return compose([*TINY, *overrides], extra_dir=own / "configs", trust=trust)


def test_a_module_is_trusted_where_the_user_says_so(own):
    cfg = composed(own, "backbone=narrow", "backbone.width=5")
    assert granted(cfg) == ("ownlab",)
    lab = build(cfg)
    assert type(lab.model.backbone).__name__ == "Narrow"
    assert lab.model.backbone.out_shape == (3, 3, 5)
    assert build(composed(own, "backbone=thin")).model.backbone.out_shape == (3, 3, 2)
    says = r"^backbone\._target_: 'ownlab\.Narrow' is refused; .*; if ownlab .*: trust=\[ownlab\]$"
    with pytest.raises(ConfigError, match=says):
        composed(own, "backbone=narrow", trust=())
    assert "trust" not in OmegaConf.to_yaml(cfg)
    with pytest.raises(ConfigError, match=says):  # what was written of it grants nothing
        build(OmegaConf.create(OmegaConf.to_yaml(cfg)))


def test_own_choices_are_as_the_built_in_ones(own):
    for override, says in (
        ("backbone=narow", r"^backbone=narow: no such choice; did you mean narrow\?"),
        ("backbone.widht=5", r"^backbone\.widht: no such key; did you mean backbone\.width\?"),
        ("+backbone.depe=true", r"^backbone\.depe: Narrow has no such argument; did you mean deep"),
        ("+backbone.deep=3", r"^backbone\.deep: expected true or false, got 3$"),
        ("backbone.width=0", r"^backbone\.width: expected a channel count > 0, got 0$"),
        ("backbone.act=3", r"^backbone\.act: expected text or null, got 3$"),
        (
            "backbone.act={_target_: os.system}",
            r"^backbone\.act: expected text|_target_: .*refused",
        ),
    ):
        chosen = [] if override.startswith("backbone=") else ["backbone=narrow"]
        with pytest.raises(ConfigError, match=says):
            composed(own, *chosen, override)
    assert composed(own, "+mine=quick", "steps=null").epochs == 7


@pytest.mark.parametrize(
    "target",
    [
        "ownlab.os.system",
        "ownlab.Popen",
        "ownlab.subprocess.Popen",
        "ownlab.write_atomically",
        "ownlab.LinearHead",
        "ownlab.VGG",
        "ownlab._hidden",
        "ownlab.shell_of",
        "ownlab.functools.partial",
        "ownlab.more.nothing",
        "ownlab.os",
        "ownlab.__loader__.load_module",
        "ownlab.Narrow.__init__",
        "ownlab.Narrow.mro",
        "ownlab.shell.__globals__",
        "ownlab..shell",
        "ownlab.broken.x",
        "ownlab",
        "ownlab.shell\n",
        "ownlaboratory.shell",
        "os.system",
        "plain.shell",
    ],
)
def test_what_a_trusted_module_reaches_is_not_its_own(own, target):
    cfg = OmegaConf.to_container(composed(own))
    for group in ("backbone", "conv", "data", "head"):
        node = {"_target_": target} | ({"_partial_": True} if group == "conv" else {})
        with pytest.raises(
            ConfigError, match=rf"^{group}\._target_: .*(is refused|be imported)"
        ) as e:
            build(compose_with(cfg, group, node))
        assert "\n" not in str(e.value)
    for key in ("extra", "mine"):  # not where a node stands
        with pytest.raises(ConfigError, match="is refused; only the groups"):
            build(compose_with(cfg, key, {"_target_": "ownlab.shell"}))


def compose_with(tree, name, value):
    from cnnlab.config import check_config

    return check_config({**tree, name: value}, trust=["ownlab"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("os", "Python's own"),
        ("builtins", "Python's own"),
        ("sys", "Python's own"),
        ("__main__", "expected names"),
        ("cnnlab", "what cnnlab is made of"),
        ("numpy", "what cnnlab is made of"),
        ("hydra_plugins", "what cnnlab is made of"),
        ("ownlab.more", "expected names of top-level modules"),
        ("../ownlab", "expected names"),
        ("_ownlab", "expected names"),
        ("", "expected names"),
        ("plain", "a folder without __init__.py"),
        ("nothing_here", "no module nothing_here is here"),
        ("ownlаb", "expected names"),  # a Cyrillic a  # noqa: RUF001
    ],
)
def test_what_can_not_be_trusted(own, name, says, monkeypatch):
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    with pytest.raises(ConfigError, match=f"^trust: .*{says}") as caught:
        compose(TINY, trust=[name])
    assert "\n" not in str(caught.value)
    assert imported == []
    with pytest.raises(ConfigError, match=r"^trust: expected a list"):
        compose(TINY, trust="ownlab")


def test_no_file_grants_it(own, monkeypatch):
    says = "^trust: no config can grant it; only you can"
    for overrides in (["experiment=evil"], ["+trust=[ownlab]"], ["trust=[ownlab]"]):
        with pytest.raises(ConfigError, match=r"^trust: (no config can|no such key)"):
            composed(own, *overrides, trust=())
    tree = OmegaConf.to_container(composed(own, "backbone=narrow"))
    for given in ({**tree, "trust": ["ownlab"]}, OmegaConf.create({**tree, "trust": ["ownlab"]})):
        with pytest.raises(ConfigError, match=says):
            build(given)
    assert command(own, monkeypatch, "experiment=sweep") == 2  # nor the overrides of a preset


def command(own, monkeypatch, *arguments):
    """The exit status of a command that builds."""
    monkeypatch.setattr(sys, "argv", ["train", "-cd", str(own / "configs"), *TINY, *arguments])
    try:
        cli("train")(lambda cfg: build(cfg).run())()
    except SystemExit as stop:
        return stop.code
    return 0


def test_a_run_asks_again(own, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(own, monkeypatch, "backbone=narrow") == 2
    assert "say so: trust=[ownlab]" in capsys.readouterr().err
    assert command(own, monkeypatch, "backbone=narrow", "trust=[ownlab]") == 0
    assert f"trusting ownlab: {own / 'ownlab/__init__.py'}" in capsys.readouterr().err
    [run] = Path("outputs/train").iterdir()
    says = r"^run: .*config\.yaml: backbone\._target_: .* is refused; .*: trust=\[ownlab\]$"
    for load in (load_config, load_run):
        with pytest.raises(ConfigError, match=says):
            load(run)
    experiment = load_run(run, trust=["ownlab"])
    assert experiment.trained()[2] == 2
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(f"{text}trust: [ownlab]\n")
    with pytest.raises(ConfigError, match=r"^run: .*: trust: no config can grant it"):
        load_run(run, trust=["ownlab"])


def test_as_it_is_typed():
    assert take_trust(["a=1", "+b=[c]"]) == (["a=1", "+b=[c]"], ())
    for line in ("trust=os,sys", "+trust=[a]", "~trust", "trust", "trust=[a.b]", "trust={a: b}",
                 "trust='a'", "trust=${oc.env:X}", "trust=[[a]]"):  # fmt: skip
        with pytest.raises(ConfigError, match=r"^trust: expected trust="):
            take_trust([line])
    assert take_trust(["trust=[]", "trusted=1"]) == (["trusted=1"], ())


def test_help_lists_own_choices_with_their_kinds(own, monkeypatch, capsys):
    assert command(own, monkeypatch, "--help", "backbone=narrow", "trust=[ownlab]") == 0
    page = capsys.readouterr().out
    assert "narrow, prototype" in page
    assert "trust=[NAME,...]" in page
    assert [line.split(maxsplit=1) for line in page.splitlines() if "backbone.width" in line] == [
        ["backbone.width=3", "channel count > 0"]
    ]
