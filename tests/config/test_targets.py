"""What a `_target_` may reach: public classes and functions of four packages, and nothing else."""

import importlib
import os
import subprocess
import sys
import types

import equinox
import jax
import optax
import pytest
from omegaconf import OmegaConf

import cnnlab
from cnnlab.config import ConfigError, check_targets, instantiate
from cnnlab.config.targets import resolve_target

# Refused by the text alone, wherever they stand, before anything is imported.
BAD_TEXT = [
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "eval",
    "cnnlab",
    "optax",
    "jax.nn",
    "jax.jit",
    "jax.numpy.sin",
    "jax.nnx.relu",
    "cnnlabx.data",
    "optaxx.sgd",
    "hydra.utils.call",
    "importlib.import_module",
    "cnnlab.__builtins__.eval",
    "cnnlab.data.__loader__.load_module",
    "equinox._module.Module",
    "optax._src.alias.sgd",
    "cnnlab.nn.Conv.__init__",
    "cnnlab..nn.Conv",
    ".cnnlab.nn.Conv",
    "cnnlab.nn.Conv.",
    "cnnlab.nn. os",
    " cnnlab.nn.Conv",
    "cnnlab.nn.Conv\n",
    "cnnlab/nn.Conv",
    "cnnlab.nn:Conv",
    "cnnlab.nn.Conv()",
    "cnnlab.1x",
    "cnnlab.nn.Сonv",  # a Cyrillic C  # noqa: RUF001
    "${oc.env:TARGET}",
    "",
    None,
    5,
    ["cnnlab.nn.Conv"],
]

# Texts that pass, of things that are not the packages' own classes and functions.
BAD_OBJECT = [
    "cnnlab.config.source.Path",  # imported from elsewhere
    "cnnlab.config.source.functools.partial",  # through a module that is imported there
    "cnnlab.config.targets.importlib.import_module",
    "cnnlab.config.hashing.json.dumps",
    "cnnlab.config.targets.inspect.os.system",
    "cnnlab.some_targets.system",
    "cnnlab.some_targets.shell.system",
    "cnnlab.some_targets.run",
    "cnnlab.some_targets.number",
    "cnnlab.some_targets",
    "cnnlab.config",
    "cnnlab.errors.ConfigError.mro",
    "cnnlab.errors.ConfigError.with_traceback",
    "optax.sgd.func",
    "equinox.nn.Linear.reset",
    "cnnlab.config.targets.TARGET",
]


@pytest.mark.parametrize("target", BAD_TEXT, ids=repr)
def test_refused_by_its_text(target, monkeypatch):
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    for check in (check_targets, lambda node: instantiate(node, key="x")):
        with pytest.raises(ConfigError) as caught:
            check({"a": [{"b": {"_target_": target}}]})
        message = str(caught.value)
        assert "_target_" in message
        assert "is refused; allowed are" in message
        assert "cnnlab, equinox, optax, jax.nn" in message
        assert "\n" not in message
    assert imported == []


@pytest.mark.parametrize("target", BAD_OBJECT)
def test_refused_by_what_it_leads_to(target, targets):
    targets.system = os.system
    targets.shell = os
    targets.run = subprocess.run
    targets.number = 3
    with pytest.raises(ConfigError, match=r"^x\._target_: .* is refused") as caught:
        resolve_target(target, "x")
    assert repr(target) in str(caught.value)


def test_a_module_in_disguise_is_refused(targets, monkeypatch):
    disguised = types.ModuleType("cnnlab.other")
    disguised.system = os.system
    targets.shell = disguised  # not under its own name
    with pytest.raises(ConfigError, match="is refused"):
        resolve_target("cnnlab.some_targets.shell.system", "x")


@pytest.mark.parametrize("target", ["cnnlab.nothing.Here", "optax.sgdd", "equinox.nn.Lineear"])
def test_absent_names_are_said_to_be_absent(target):
    with pytest.raises(ConfigError, match=r"^x\._target_: .* has no ") as caught:
        resolve_target(target, "x")
    assert "\n" not in str(caught.value)


def test_the_nearest_name_is_given():
    with pytest.raises(ConfigError, match="did you mean Linear"):
        resolve_target("equinox.nn.Lineear", "x")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("optax.sgd", lambda: optax.sgd),
        ("optax.contrib.muon", lambda: importlib.import_module("optax.contrib").muon),
        ("equinox.nn.Linear", lambda: equinox.nn.Linear),
        ("jax.nn.relu", lambda: jax.nn.relu),
        ("jax.nn.silu", lambda: jax.nn.silu),
        ("jax.nn.tanh", lambda: jax.nn.tanh),
        ("jax.nn.initializers.he_normal", lambda: jax.nn.initializers.he_normal),
        ("cnnlab.errors.CnnlabError", lambda: cnnlab.errors.CnnlabError),
    ],
)
def test_allowed(target, expected):
    assert resolve_target(target, "x") is expected()


def test_a_bad_target_does_not_import_a_module(tmp_path, monkeypatch):
    (tmp_path / "surprise.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for target in ("surprise.x", "cnnlab.surprise.x", "cnnlab.config.surprise.x"):
        with pytest.raises(ConfigError):
            instantiate({"_target_": target}, key="x")
    assert "surprise" not in sys.modules


def test_check_targets_finds_them_anywhere():
    good = {"a": {"_target_": "cnnlab.x.Y", "b": [{"_target_": "optax.sgd"}]}, "c": "os.system"}
    check_targets(good)
    check_targets(OmegaConf.create({**good, "d": "${a}"}))
    bad = OmegaConf.create({"a": {"_target_": "cnnlab.x.Y", "b": [1, {"_target_": "os.system"}]}})
    with pytest.raises(ConfigError, match=r"^a\.b\.1\._target_: 'os\.system' is refused"):
        check_targets(bad)
    with pytest.raises(ConfigError, match=r"^_target_: 'os\.system' is refused"):
        check_targets({"_target_": "os.system"})


def test_hydra_names_its_own_plugins_and_no_others():
    basic = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    check_targets({"hydra": {"launcher": {"_target_": basic}}})
    check_targets({"hydra": {"launcher": {"_target_": "hydra_plugins.joblib.Launcher"}}})
    for tree in ({"launcher": {"_target_": basic}}, {"hydra": {"x": {"_target_": "os.system"}}}):
        with pytest.raises(ConfigError, match="is refused"):
            check_targets(tree)


@pytest.mark.parametrize(
    "target",
    [
        "cnnlab.train.checkpoint.write_atomically",
        "cnnlab.train.rundir.RunDirectory",
        "cnnlab.data.paths.lift",
        "cnnlab.data.fetch.debian_folder",
        "cnnlab.config.load_run",
        "equinox.tree_serialise_leaves",
        "equinox.tree_deserialise_leaves",
    ],
)
def test_what_touches_files_cannot_be_named(target):
    with pytest.raises(ConfigError, match=r"^x\._target_: .* is refused"):
        resolve_target(target, "x")
