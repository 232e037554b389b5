"""Damaged and foreign checkpoints: refused in one line, and nothing is made of them."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
from omegaconf import OmegaConf

from cnnlab.config import build_finetune, compose, load_predictor, load_run, networks, objects
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.train import checkpoint
from cnnlab.train.arrays import CheckpointError
from cnnlab.train.checkpoint import read, write
from cnnlab.train.position import Position
from cnnlab.train.rundir import RunDirectory

MNIST = {"_target_": "cnnlab.data.mnist", "val_fraction": 0.25, "source": None}


def rewrite(path, change=lambda arrays, about: None):
    arrays, header = read(path)
    about = {key: header[key] for key in ("config", "data", "loop", "run")}
    change(arrays, about)
    write(path, arrays, about)


def without(arrays, about):
    for name in [name for name in arrays if name.startswith(("model.", "average."))]:
        del arrays[name]


def set_weight(value):
    def change(arrays, about):
        name = next(name for name in arrays if name.startswith("average.backbone"))
        arrays[name] = value(arrays[name])

    return change


def integers(w):
    return w.view(np.int32)


FOREIGN = [
    (without, "does not fit this config: backbone.* is missing"),
    (lambda a, b: a.update({"average.more": a["step"]}), "does not fit .*: more is not part of it"),
    (set_weight(lambda w: w[..., :1]), "does not fit this config"),
    (set_weight(integers), "does not fit this config: .* is int32"),
    (set_weight(lambda w: w * np.nan), "holds weights that are not finite numbers"),
    (lambda a, b: b["config"].update(seed=1), "of another run: seed is 1 in it, 0 in the config"),
    (lambda a, b: b["config"]["backbone"].update(activation="gelu"), "of another run: backbone"),
    (lambda a, b: a.pop("step"), "does not say its step"),
]


@pytest.mark.parametrize(("change", "message"), FOREIGN)
def test_weights_of_something_else_are_refused(uninterrupted, run, change, message):
    folder, last = run
    rewrite(last, change)
    experiment = uninterrupted[0]
    with pytest.raises(CheckpointError, match=f"{last.name}.*{message}"):
        experiment.trained(str(last))
    with pytest.raises(CheckpointError, match=f"{last.name}.*{message}"):
        load_predictor(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_shape", [2**40, 1, 1]),
        ("input_shape", ["8", 8, 1]),
        ("input_shape", None),
        ("class_names", ["\x1b[2J"] * 10),
        ("class_names", "abcdefghij"),
        ("mean", ["x"]),
        ("mean", [1.0, 2.0, 3.0, 4.0, 5.0]),
        ("std", [0.0]),
        ("std", [1e308]),
        ("high", 2**40),
        ("high", "255"),
        ("fit", "crop"),
        ("light_borders", 1.5),
        ("name", ["fake"]),
        ("fingerprint", 5),
    ],
)
def test_a_header_that_does_not_say_what_the_data_are(run, key, value):
    folder, last = run
    rewrite(last, lambda arrays, about: about["data"].update({key: value}))
    for load in (load_predictor, load_run):
        with pytest.raises(CheckpointError, match=rf"{last.name}: damaged checkpoint \(data"):
            load(folder)


FINETUNE = ("data=fake", "data.shape=[6,6,1]", "batch_size=24", "progress=false")


def test_a_network_larger_than_its_checkpoint_is_never_made(run, monkeypatch):
    """What a config from elsewhere says is compared as shapes: here 64 GiB of weights."""
    folder, last = run
    config = OmegaConf.load(folder / "config.yaml")
    config.backbone.plan = [60000, 30000]
    OmegaConf.save(config, folder / "config.yaml")
    rewrite(last, lambda arrays, about: about["config"]["backbone"].update(plan=[60000, 30000]))
    monkeypatch.setattr(networks, "build_model", lambda *_, **__: pytest.fail("made"))
    monkeypatch.setattr(objects, "build_model", networks.build_model)
    finetune = compose([*FINETUNE, f"run={folder}"], "finetune")
    for load in (load_predictor, load_run, lambda _: build_finetune(finetune)):
        with pytest.raises((CheckpointError, ConfigError), match=r"does not fit this|fits into"):
            load(folder)


def test_a_checkpoint_of_another_run_is_not_resumed(tiny, run, uninterrupted):
    ours = tiny("average=0.9", "optimizer.lr=0.3")
    shutil.copytree(run[0] / "checkpoints", ours.directory.checkpoints)
    other = uninterrupted[0].directory.path.name
    with pytest.raises(CheckpointError, match=f"of another run: .*{other}.*; force=true begins"):
        ours.run()


def raw(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


FILES = {
    "huge header": struct.pack("<Q", 2**63) + b"{}",
    "long header": struct.pack("<Q", 90_000_000) + b"{}",
    "garbage": raw(b"\xff{"),
    "deep": raw(b"[" * 100_000),
    "outside": raw({"a": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}, b"1234"),
    "overflow": raw({"a": {"dtype": "F32", "shape": [2**62] * 2, "data_offsets": [0, 4]}}, b"1234"),
    "twice": raw(b'{"__metadata__":{},"__metadata__":{}}'),
    "number": raw({"__metadata__": {"format": 5}}),
    "dtype": raw(
        {
            "__metadata__": {"format": "cnnlab-checkpoint-1"},
            "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        },
        b"1234",
    ),
    "not JSON": raw(
        {"__metadata__": {"format": "cnnlab-checkpoint-1", "loop": "{", "header_crc32": "%d"}}
    ),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "step-000000001.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-0.*damaged checkpoint") as refused:
        read(path)
    assert "\n" not in str(refused.value)


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(CheckpointError, match="not a file"):
            read(place)
    with pytest.raises(CheckpointError, match="its loop has window=5"):
        Position.of({"best": 0.5, "window": 5})


@pytest.mark.parametrize(
    "wrong",
    [
        *({"best": float("inf")}, {"best": float("nan")}, {"best_step": -1}, {"best_step": 2.0}),
        *({"waited": True}, {"seconds": float("inf")}, {"stopped_early": 1}, {"records": -2}),
        *({"window": [{"loss": "x"}]}, {"window": [5]}, {"more": 0}),
    ],
    ids=str,
)
def test_a_header_that_does_not_say_where_the_loop_stands(wrong):
    [(name, _)] = wrong.items()
    with pytest.raises(CheckpointError, match=f"its loop has {name}="):
        Position.of(wrong)


def test_versions_that_are_none(run, monkeypatch):
    folder, last = run
    monkeypatch.setattr(checkpoint, "versions", lambda: {"jax": [1, 2]})
    rewrite(last)
    with pytest.raises(CheckpointError, match="versions are no texts"):
        load_predictor(folder)


def test_a_folder_that_a_config_names_is_not_followed(run, tmp_path):
    """It may be a config from somebody else: whoever evaluates gives it."""
    folder, _ = run
    config = OmegaConf.load(folder / "config.yaml")
    config.data = OmegaConf.create(MNIST | {"data_dir": "/somewhere"})
    OmegaConf.save(config, folder / "config.yaml")
    refused = r"data.data_dir: this run's examples are in '/somewhere'.* data.data_dir=/somewhere"
    with pytest.raises(ConfigError, match=refused):
        load_run(folder)
    with pytest.raises(ConfigError, match=r"data.source: this run's examples are in 'x'"):
        config.data.source = "x"
        OmegaConf.save(config, folder / "config.yaml")
        load_run(folder, data_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=f"data.source: expected a folder .*, got {tmp_path}"):
        load_run(folder, data_dir=str(tmp_path), source=str(tmp_path))


def test_a_data_set_in_no_folder(run):
    with pytest.raises(ConfigError, match=r"data.source: this run's data set is in no folder"):
        load_run(run[0], source="x")


def test_what_an_older_checkpoint_does_not_say_is_said(tiny, run, uninterrupted, capsys):
    """Before a run on it goes on, and before it is evaluated: one line each."""
    folder, last = run
    rewrite(last, lambda arrays, about: (about.pop("run"), about["data"].pop("fingerprint")))
    load_run(folder).trained()
    said = capsys.readouterr().err
    assert f"{last}: written by an older version, which does not say fingerprint" in said
    assert said.count("\n") == 1
    again = tiny("average=0.9")
    shutil.copytree(folder / "checkpoints", again.directory.checkpoints)
    assert again.run()["test_loss"] == uninterrupted[1]["test_loss"]
    said = [line for line in capsys.readouterr().err.splitlines() if "older version" in line]
    assert len(said) == 1 and "anything of its run but seed and network" in said[0]


def test_answers_that_are_no_numbers_are_refused(uninterrupted, run):
    experiment = uninterrupted[0]
    rewrite(run[1], set_weight(lambda w: np.full_like(w, 3e38)))  # finite, the answers are not
    network = experiment.trained(str(run[1]))[:2]
    with pytest.raises(CnnlabError, match=r"are not numbers for \d+ of 40 examples"):
        experiment.evaluator(experiment.data.test)(*network)
    predictor, images = load_predictor(run[0]), experiment.data.test.take(np.arange(40))[0]
    with pytest.raises(CnnlabError, match="for this example are not numbers"):
        for image in images:
            predictor(image)


def test_a_run_evaluates_again(run):
    """Nothing above is refused in a run that is as it was."""
    model, state, step = (experiment := load_run(run[0])).trained()
    result = RunDirectory(run[0]).read_result()
    assert step == 12
    evaluation = experiment.evaluator(experiment.data.test)(model, state)
    assert evaluation.accuracy == result["test_accuracy"]
