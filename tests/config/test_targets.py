"""What a `_target_` may reach: what the list of its group names, and nothing else."""

import importlib
import inspect
import pkgutil
import sys
import types

import jax.random as jr
import pytest
from omegaconf import OmegaConf

from cnnlab.config import ConfigError, instantiate
from cnnlab.config.allowed import TARGETS
from cnnlab.config.kinds import check_phrase, choices
from cnnlab.config.source import default_directory
from cnnlab.config.targets import is_allowed, read_nodes, resolve_target
from cnnlab.models.plan import PLANS
from cnnlab.nn.activations import ACTIVATIONS
from cnnlab.nn.initializers import INITIALIZERS
from cnnlab.ops import ALGORITHMS, PADDING_MODES

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
    # Of the packages themselves: they load a library, overwrite or empty files, name what is not
    # an object of a config.
    "cnnlab.ops.native.engine.load",
    "cnnlab.ops.table.remember",
    "cnnlab.files.replace_file",
    "cnnlab.train.metrics.JsonLines",
    "cnnlab.files.write_atomically",
    "cnnlab.train.rundir.RunDirectory",
    "cnnlab.data.paths.lift",
    "cnnlab.config.load_run",
    "cnnlab.errors.ConfigError",
    "equinox.tree_serialise_leaves",
    "equinox.nn.Linear",
    "optax.sgd",
    "jax.nn.relu",
    # Of the right group, but written otherwise.
    "cnnlab.models.vgg.VGG",
    "cnnlab.data.mnist",
    "cnnlab.nn.factories.math.gcd",
    "cnnlab.nn.factories.dense.__wrapped__",
]


@pytest.mark.parametrize("target", BAD_TEXT, ids=repr)
def test_refused_by_its_text(target, monkeypatch):
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    for key in ("backbone", "conv", "norm"):
        with pytest.raises(ConfigError, match=r"\._target_: .* is refused; ") as caught:
            instantiate({"_target_": target}, key=key)
        assert "\n" not in str(caught.value)
        with pytest.raises(ConfigError, match="is refused"):
            list(read_nodes({key: {"_target_": target}}))
    for tree in ({"seed": [1, {"_target_": target}]}, {"a": {"b": {"_target_": target}}}):
        with pytest.raises(
            ConfigError, match=r"^(seed\.1|a\.b)\._target_: .* is refused; only the"
        ):
            list(read_nodes(tree))
    assert imported == []


def _reachable(roots):
    """Every dotted path from these packages: through their modules, and what stands in them, and in
    the classes there."""
    for root in roots:
        for found in pkgutil.walk_packages(importlib.import_module(root).__path__, f"{root}."):
            if found.name in sys.modules:
                yield found.name
    pending = [(root, importlib.import_module(root)) for root in roots]
    seen = set()
    while pending:
        path, place = pending.pop()
        if id(place) in seen:
            continue
        seen.add(id(place))
        for name, value in vars(place).items():
            yield f"{path}.{name}"
            inner = isinstance(value, types.ModuleType) and value.__name__.startswith(roots)
            if inner or inspect.isclass(value):
                pending.append((f"{path}.{name}", value))


def test_of_all_that_can_be_reached_only_what_is_listed_is_let_through():
    listed = {target for allowed in TARGETS.values() for target in allowed}
    gate = inspect.unwrap(is_allowed)  # without beartype's checks: it is asked 100,000 times
    count, through = 0, set()
    for path in _reachable(("cnnlab", "equinox", "optax", "jax")):
        count += 1
        through |= {path for group in TARGETS if gate(path, group)}
    assert count > 20_000
    assert through <= listed


@pytest.mark.parametrize("group", TARGETS)
def test_the_list_fits_what_it_names(group):
    """Every target is there, by its own name, and has the arguments that are listed for it."""
    for target, kinds in TARGETS[group].items():
        found = resolve_target(target, group, group)
        assert callable(found)
        assert found.__module__.split(".")[0] == target.split(".")[0]
        parameters = inspect.signature(found).parameters
        assert set(kinds) <= set(parameters), target
        for kind in kinds.values():
            check_phrase(kind)


def test_the_listed_choices_are_those_that_the_code_knows():
    assert TARGETS["backbone"]["cnnlab.models.VGG"]["plan"].endswith(f"one of {', '.join(PLANS)}")
    dense = TARGETS["conv"]["cnnlab.nn.factories.dense"]
    assert choices(dense["padding_mode"]) == list(PADDING_MODES)
    assert set(choices(dense["algorithm"])) == set(ALGORITHMS)
    assert set(choices(dense["kernel_init"])) == INITIALIZERS.keys()
    assert (
        set(choices(TARGETS["backbone"]["cnnlab.models.MLP"]["activation"])) == ACTIVATIONS.keys()
    )


def test_what_is_listed_is_what_the_groups_have():
    used = {"cnnlab.train.trial.Trial"}  # which a search gives to its jobs
    for file in default_directory().glob("*/**/*.yaml"):
        group = file.parent.name
        if {"base", "debug", "experiment", "hydra"} & set(
            file.relative_to(default_directory()).parts
        ):
            continue
        loaded = OmegaConf.to_container(OmegaConf.load(file))
        if loaded.keys() == {"defaults"}:  # what a file of another group has
            continue
        loaded.pop("defaults", None)
        tree = loaded if group in loaded else {group: loaded}  # as `norm: null` of norm=none
        nodes = [node for _, node in read_nodes(tree)]
        assert nodes or file.stem == "none"
        used |= {node["_target_"] for node in nodes}
    listed = {target for allowed in TARGETS.values() for target in allowed}
    assert used == {target for target in listed if target.startswith("cnnlab.")}


def test_nodes_within_nodes_have_lists_of_their_own():
    relu = {"_target_": "jax.nn.elu", "_partial_": True, "alpha": 1.5}
    backbone = {"_target_": "cnnlab.models.MLP", "widths": [4], "activation": relu}
    made = instantiate(backbone, key="backbone", in_shape=(3,), optional={"key": jr.key(0)})
    assert made.stages[0].layers[1].fn(-1e9) == -1.5
    for inner in ("cnnlab.data.digits", "cnnlab.ops.native.engine.load", "jax.nn.standardize"):
        node = {**backbone, "activation": {"_target_": inner, "_partial_": True}}
        with pytest.raises(ConfigError, match=r"^backbone\.activation\._target_: .* is refused"):
            instantiate(node, key="backbone")
    with pytest.raises(ConfigError, match=r"^backbone\.widths: expected a list"):
        instantiate({**backbone, "widths": relu}, key="backbone")
