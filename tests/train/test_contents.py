"""Runs are known by what they read: weights to begin with, and the examples of their data set."""

import dataclasses
import shutil

import numpy as np
import pytest

from cnnlab.config import build_finetune, compose
from cnnlab.errors import ConfigError
from cnnlab.train.arrays import CheckpointError
from cnnlab.train.checkpoint import read, write

NEW = ("data=fake", "data.shape=[6,6,1]", "data.num_classes=3", "batch_size=24", "progress=false")


def finetuned(run, **settings):
    given = [f"{name}={value}" for name, value in {"run": run, **settings}.items()]
    return build_finetune(compose([*NEW, *given], "finetune"))[0].directory.path.name


def test_a_finetune_of_other_weights_is_another_run(uninterrupted, tmp_path):
    run = uninterrupted[0].directory.path
    name = finetuned(run)
    moved = shutil.copytree(run, tmp_path / "moved")
    [last] = sorted((moved / "checkpoints").glob("step-*"))[-1:]
    assert finetuned(moved) == name == finetuned(moved, checkpoint=last)
    assert finetuned(moved, freeze="false") != name

    arrays, header = read(last)
    about = {key: header[key] for key in ("config", "data", "loop")}
    head, backbone = (
        next(k for k in arrays if k.startswith(f"average.{part}.")) for part in ("head", "backbone")
    )
    write(last, {**arrays, head: arrays[head] + 1}, about)
    assert finetuned(moved) == name  # a new head is put on
    write(last, {**arrays, backbone: arrays[backbone] + 1}, about)
    assert finetuned(moved) != name


def test_a_backbone_keeps_its_dimensions(uninterrupted):
    run = uninterrupted[0].directory.path
    says = r"^data: expected examples of 2 spatial dimensions, .*\[6, 6, 1\], got \[{}\]$"
    for shape in ("36, 1", "4, 4, 4, 1"):
        with pytest.raises(ConfigError, match=says.format(shape)):
            finetuned(run, **{"data.shape": f"[{shape}]"})


def test_a_run_is_not_judged_by_other_examples(uninterrupted):
    experiment = uninterrupted[0]
    run = experiment.directory.path

    def with_data(**change):
        data = dataclasses.replace(experiment.data, **change)
        return dataclasses.replace(experiment, data=data, place=run)

    for change in ({"mean": experiment.data.mean + 1}, {"fingerprint": "other"}):
        other = with_data(**change)
        with pytest.raises(CheckpointError, match="trained on other examples than fake holds now"):
            other.trained()
    slightly = experiment.data.mean * np.float32(1 + 1e-6)
    with_data(mean=slightly).trained()
