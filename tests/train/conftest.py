"""A tiny experiment that trains in moments."""

import pytest
from cnnlab.config import build, compose

TINY = (
    "data=fake",
    "data.shape=[6,6,1]",
    "data.num_classes=4",
    "data.train_size=96",
    "data.test_size=40",
    "data.val_fraction=0.25",
    "backbone.plan=[4,M,8]",
    "augment=[crop,flip]",
    "augment.crop.padding=1",
    "batch_size=24",
    "eval_batch_size=16",
    "epochs=4",
    "log_every.steps=2",
    "progress=false",
)


@pytest.fixture
def tiny(tmp_path):
    """`tiny(*overrides)`: an experiment whose run directory is under the test's folder."""

    def make(*overrides):
        return build(compose([*TINY, f"output={tmp_path / 'outputs'}", *overrides]))

    return make
