"""A tiny experiment that trains in moments."""

import functools
import shutil

import pytest

from cnnlab.config import build, compose

TINY = (
    "data=fake",
    "data.shape=[6,6,1]",
    "data.num_classes=4",
    "data.train_size=96",
    "data.test_size=40",
    "data.val_fraction=0.25",
    "backbone.plan=[4,M]",
    "augment=[crop,flip]",
    "optimizer=sgd",
    "augment.crop.padding=1",
    "batch_size=24",
    "eval_batch_size=16",
    "epochs=4",
    "log_every.steps=2",
    "progress=false",
)


def make(folder, *overrides):
    """A tiny experiment whose run directory is under `folder`."""
    return build(compose([*TINY, f"output={folder}", *overrides]))


@pytest.fixture
def tiny(tmp_path):
    """`tiny(*overrides)`: an experiment whose run directory is under the test's folder."""
    return functools.partial(make, tmp_path / "outputs")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """A run that went from start to end, with a moving average: the experiment and its result."""
    experiment = make(tmp_path_factory.mktemp("uninterrupted"), "average=0.9")
    return experiment, experiment.run()


@pytest.fixture
def run(uninterrupted, tmp_path):
    """A copy of a finished run, and its last checkpoint."""
    folder = shutil.copytree(uninterrupted[0].directory.path, tmp_path / "run")
    return folder, max((folder / "checkpoints").glob("step-*"))
