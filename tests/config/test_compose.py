"""What compose gives: the same from anywhere, with durations settled, additions in their places."""

import os
import shutil
import sys
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf

from cnnlab import console
from cnnlab.config import ConfigError, compose, declared
from cnnlab.config.source import Source, default_directory

from .conftest import write_tree


def test_defaults(configs):
    cfg = compose(config_dir=configs)
    assert isinstance(cfg, DictConfig)
    assert (cfg.epochs, cfg.steps, cfg.examples) == (10, None, None)
    assert cfg.backbone.plan == "vgg11"
    assert list(cfg.augment) == ["crop"]
    assert cfg.eval_batch_size == 64
    assert "hydra" not in cfg
    assert OmegaConf.is_struct(cfg)
    with pytest.raises(AttributeError):
        _ = cfg.nonsense


def test_overrides_are_applied_in_order(configs):
    overrides = ["optimizer.momentum=0.5", "backbone=mlp", "backbone.widths=[8]", "batch_size=3"]
    cfg = compose([*overrides, "batch_size=4"], config_dir=configs)
    assert cfg.optimizer.momentum == 0.5
    assert cfg.backbone.widths == [8]
    assert "plan" not in cfg.backbone
    assert (cfg.batch_size, cfg.eval_batch_size) == (4, 4)


def test_a_value_may_have_the_kinds_that_its_place_allows(configs):
    overrides = [
        "label_smoothing=0",  # an int where a float was
        "clip_norm=1.5",  # anything where null was
        "force=null",
        "output=${name}",
        "eval_batch_size=7",  # what the interpolation leads to
        "backbone.kernel_size=[3,5]",  # an argument's other forms
        "backbone.plan=[32,M,64]",
        "backbone.plan.1=64",
        "+backbone.activation={_target_: jax.nn.elu, _partial_: true, alpha: 2}",
    ]
    cfg = compose(overrides, config_dir=configs)
    assert (cfg.label_smoothing, cfg.clip_norm, cfg.force) == (0, 1.5, None)
    assert cfg.output == "tiny"
    assert cfg.backbone.kernel_size == [3, 5]
    assert cfg.backbone.plan == [32, 64, 64]
    assert cfg.backbone.activation.alpha == 2


def test_additions(configs):
    overrides = [
        "+backbone.dropout=0.5",
        "+augment.flip={_target_: cnnlab.data.augment.Flip}",
        "+logger=tensorboard",
    ]
    with pytest.raises(ConfigError, match="logger is already in the defaults list"):
        compose(overrides, config_dir=configs)
    cfg = compose(overrides[:-1], config_dir=configs)
    assert cfg.backbone.dropout == 0.5
    assert list(cfg.augment) == ["crop", "flip"]


def test_deletions_below_the_top(configs):
    assert compose(["~augment.crop"], config_dir=configs).augment == {}
    assert "kernel_size" not in compose(["~backbone.kernel_size"], config_dir=configs).backbone
    assert compose(["~sizes.0"], config_dir=configs).sizes == [2]


def test_list_choices_keep_their_order(configs):
    assert list(compose(["augment=[flip,crop]"], config_dir=configs).augment) == ["flip", "crop"]
    for none in ("augment=none", "augment=[none]", "augment=[]"):
        assert compose([none], config_dir=configs).augment == {}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["steps=100"], (None, 100, None)),
        (["examples=1e6"], (None, None, 1e6)),
        (["epochs=3"], (3, None, None)),
        (["experiment=long"], (None, 500, None)),
        (["experiment=long", "epochs=3"], (3, None, None)),
        (["debug=fast", "experiment=long"], (None, 4, None)),
        (["steps=100", "epochs=null"], (None, 100, None)),
        (["steps=5", "steps=null"], (10, None, None)),
        (["++steps=7"], (None, 7, None)),
        (["steps=${batch_size}"], (None, 64, None)),
    ],
)
def test_the_users_duration_replaces_the_default(configs, overrides, expected):
    cfg = compose(overrides, config_dir=configs)
    assert (cfg.epochs, cfg.steps, cfg.examples) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluate_every.steps=50", {"epochs": None, "steps": 50, "examples": None}),
        ("evaluate_every={examples: 9}", {"epochs": None, "steps": None, "examples": 9}),
        ("evaluate_every.epochs=null", {"epochs": None, "steps": None, "examples": None}),
        ("steps=5", {"epochs": 1, "steps": None, "examples": None}),
    ],
)
def test_durations_below_the_top(configs, override, expected):
    cfg = compose([override], config_dir=configs)
    assert cfg.evaluate_every == expected
    assert cfg.checkpoint_every == {"epochs": None, "steps": 100, "examples": None}


def test_from_any_directory_and_a_relative_one(configs, tmp_path, monkeypatch):
    here = compose(config_dir=configs)
    monkeypatch.chdir(tmp_path)
    assert compose(config_dir=configs) == here
    assert compose(config_dir=os.path.relpath(configs)) == here
    assert list(tmp_path.iterdir()) == []


def test_inside_a_running_hydra_application(configs, tmp_path):
    (tmp_path / "other.yaml").write_text("a: 1\n")
    expected = compose(["seed=3"], config_dir=configs)
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.2"):
        outer = GlobalHydra.instance().hydra
        assert compose(["seed=3"], config_dir=configs) == expected
        assert GlobalHydra.instance().hydra is outer
        assert str(VersionBase.instance().getbase()) == "1.2"
        assert hydra.compose("other") == {"a": 1}
    assert not GlobalHydra.instance().is_initialized()


def test_results_are_independent_and_files_are_read_again(configs, tmp_path):
    (tmp_path / "one.yaml").write_text("a: 1\nb: {c: 2}\n")
    first = compose([], "one", config_dir=tmp_path)
    first.b.c = 5
    assert compose([], "one", config_dir=tmp_path).b.c == 2
    (tmp_path / "one.yaml").write_text("a: 10\nb: {c: 20}\n")
    os.utime(tmp_path / "one.yaml", ns=(1, 1))
    assert compose([], "one", config_dir=tmp_path) == {"a": 10, "b": {"c": 20}}


def test_a_file_is_read_once_and_what_is_composed_shares_nothing(tmp_path, monkeypatch):
    source = Source(str(write_tree(tmp_path)))
    first = source.load(("backbone=mlp",))
    read, load = [], OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: read.append(file.name) or load(file))
    second = source.load(("backbone=mlp", "optimizer=adamw"))
    assert [Path(name).name for name in read] == ["adamw.yaml"]
    second.name = "another"
    assert (first.name, source.load(("optimizer=adamw",)).name) == ("tiny", "tiny")


def test_the_projects_own_configs_are_found(tmp_path, monkeypatch):
    directory = default_directory()
    assert (directory / "hydra" / "settings.yaml").is_file()
    package = tmp_path / "site-packages" / "cnnlab"
    (package / "shipped" / "configs").mkdir(parents=True)
    monkeypatch.setattr(console, "__file__", str(package / "console.py"))
    assert default_directory() == package.resolve() / "shipped" / "configs"  # an installed wheel
    shutil.rmtree(package / "shipped")
    assert default_directory() == Path(package).resolve().parent / "configs"


def test_a_question_is_composed_by_its_name(tmp_path, monkeypatch):
    """Which loads its module, from any folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(declared, "_DECLARED", {})
    monkeypatch.setattr(
        sys, "path", [p for p in sys.path if not (Path(p) / "experiments").is_dir()]
    )
    before = list(sys.path)
    for name in [n for n in sys.modules if n.split(".")[0] == "experiments"]:
        monkeypatch.delitem(sys.modules, name)
    assert compose(["geometries=3"], "toeplitz").geometries == 3
    assert sys.path == before


def test_numbers_come_back_in_their_own_type(tmp_path):
    (tmp_path / "one.yaml").write_text(
        "batch: 128\nrate: 0.1\nfile: ~/x\nwhole: [1, 2]\nagain: ${batch}\n"
        "types: {batch: whole number >= 1, rate: number > 0, file: path, again: whole number >= 1,"
        " whole: list of whole numbers >= 1}\n"
    )
    cfg = compose(["batch=64.0", "rate=1", "whole=[1e2,3]"], "one", config_dir=tmp_path)
    assert repr((cfg.batch, cfg.rate, list(cfg.whole))) == "(64, 1, [100, 3])"
    assert cfg.again == 64
    assert cfg.file == os.path.expanduser("~/x")
    assert "types" not in cfg
    for wrong, message in [
        ("batch=2.5", "batch: expected a whole number >= 1, got 2.5"),
        ("batch=true", "batch: expected a whole number >= 1, got true"),
        ("batch='1'", "batch: expected a whole number >= 1, got '1'"),
        ("batch=null", "batch: expected a whole number >= 1, got null"),
        ("rate=nan", "rate: expected a number > 0, got nan"),
        ("rate=1e400", r"rate: expected a number > 0 and at most 3e\+38, got inf"),
        ("whole=[1,0]", r"whole\[1\]: expected a whole number >= 1, got 0"),
        ("types.batch=text", "types.batch: no such key"),
    ]:
        with pytest.raises(ConfigError, match=f"^{message}"):
            compose([wrong], "one", config_dir=tmp_path)
    (tmp_path / "two.yaml").write_text("a: 1\ntypes: {a: hole number}\n")
    with pytest.raises(ConfigError, match=r"types\.a: 'hole number' is no kind of value"):
        compose([], "two", config_dir=tmp_path)
