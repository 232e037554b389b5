"""A small tree of configs of its own, and a module of targets inside the allowed roots."""

import sys
import types
from pathlib import Path

import pytest

import cnnlab
from cnnlab.config import cli
from cnnlab.config.allowed import TARGETS
from cnnlab.config.source import default_directory

OPTIM = "_target_: cnnlab.train.optim"
TREE = {
    "train.yaml": """\
defaults:
  - hydra/settings
  - data: digits
  - backbone: vgg11
  - augment: [crop]
  - optimizer: sgd
  - logger: none
  - _self_
  - experiment: null
  - debug: null

name: tiny # a name for the folder
seed: 0
output: outputs # where results go
force: false
epochs: 10
steps: null
examples: null
batch_size: 64
eval_batch_size: ${batch_size}
label_smoothing: 0.1
clip_norm: null
sizes: [1, 2]
evaluate_every: {epochs: 1, steps: null, examples: null}
checkpoint_every: {epochs: null, steps: 100, examples: null}
""",
    "evaluate.yaml": "defaults: [hydra/settings, _self_]\nrun: ???\nviews: none\n",
    "environment.yaml": "defaults: [hydra/settings, _self_]\nsecret: ${oc.env:NOT_SET_ANYWHERE}\n",
    "strict.yaml": "defaults: [hydra/settings, {data: '???'}, _self_]\nseed: 0\n",
    "data/digits.yaml": "_target_: cnnlab.data.digits\nval_fraction: 0.1\n",
    "data/fake.yaml": "_target_: cnnlab.data.fake\nshape: [8, 8, 1]\n",
    "backbone/vgg11.yaml": """\
_target_: cnnlab.models.VGG
plan: vgg11
kernel_size: 3
use_bias: true
""",
    "backbone/vgg16.yaml": "_target_: cnnlab.models.VGG\nplan: vgg16\nkernel_size: 3\n",
    "backbone/mlp.yaml": "_target_: cnnlab.models.MLP\nwidths: [512, 512]\nactivation: relu\n",
    "augment/crop.yaml": "crop: {_target_: cnnlab.data.augment.Crop, padding: 2}\n",
    "augment/flip.yaml": "flip: {_target_: cnnlab.data.augment.Flip}\n",
    "augment/none.yaml": "",
    "optimizer/sgd.yaml": f"{OPTIM}.sgd\n_partial_: true\nlr: 0.1\nmomentum: 0.9\n",
    "optimizer/adamw.yaml": f"{OPTIM}.adamw\n_partial_: true\nlr: 1e-3\n",
    "logger/none.yaml": "",
    "logger/tensorboard.yaml": "tensorboard: {_target_: cnnlab.train.metrics.TensorBoard}\n",
    "experiment/long.yaml": "# @package _global_\nepochs: null\nsteps: 500\nname: long\n",
    "experiment/typo.yaml": "# @package _global_\nepoch: 5\n",
    "experiment/nested_typo.yaml": "# @package _global_\nevaluate_every: {stepz: 5}\n",
    "experiment/twice.yaml": "# @package _global_\nsteps: 5\n",
    "experiment/evil.yaml": "# @package _global_\ndata: {_target_: os.system}\n",
    "experiment/broken.yaml": "# @package _global_\nname: [unclosed\n",
    "experiment/absent.yaml": "# @package _global_\ndefaults: [{override /data: nothing}]\n",
    "experiment/sweep.yaml": """\
# @package _global_
hydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}
""",
    "debug/fast.yaml": "# @package _global_\nname: fast\nepochs: null\nsteps: 4\n",
}


def write_tree(root: Path) -> Path:
    """The tree under `root`, with Hydra's settings as the project ships them."""
    for name, text in TREE.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    shipped = Path(cnnlab.__file__).parents[1] / "configs" / "hydra" / "settings.yaml"
    (root / "hydra").mkdir()
    (root / "hydra" / "settings.yaml").write_text(shipped.read_text())
    return root


@pytest.fixture(scope="session")
def configs(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("configs"))


@pytest.fixture
def targets(monkeypatch):
    """`cnnlab.some_targets`: a module that tests fill with targets by `add(thing, groups,
    **kinds)`, which lists them too."""
    module = types.ModuleType("cnnlab.some_targets")

    def add(thing, groups=("backbone",), **kinds):
        thing.__module__ = module.__name__
        setattr(module, thing.__name__, thing)
        target = f"{module.__name__}.{thing.__name__}"
        for group in groups:
            monkeypatch.setitem(TARGETS, group, {**TARGETS[group], target: kinds})
        return target

    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(cnnlab, "some_targets", module, raising=False)
    module.add = add
    return module


@pytest.fixture
def sweep(tmp_path, monkeypatch, capfd):
    """Runs a task in a sweep: exit status, outcomes by the first override, stderr, its folder."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "hydra").symlink_to(default_directory() / "hydra")
    text = "defaults: [hydra/settings, _self_]\noutput: outputs\nseed: 0\nx: 0.5\nlogger: {}\n"
    (configs / "train.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def call(task, *arguments):
        monkeypatch.setattr(sys, "argv", ["task.py", "-m", *arguments])
        status, concluded = 0, []
        conclude = lambda folder, outcomes: concluded.append((folder, outcomes))
        try:
            cli("train", config_dir=configs, conclude=conclude)(task)()
        except SystemExit as stop:
            status = stop.code
        [(folder, outcomes)] = concluded or [(None, [])]
        assert folder is None or folder.parent == tmp_path / "outputs" / "sweeps"
        seeds = {outcome.overrides[0].removeprefix("seed="): outcome for outcome in outcomes}
        return status, seeds, capfd.readouterr().err, folder

    return call
