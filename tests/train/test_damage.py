"""Damaged and foreign files in a run directory, and disks that refuse: one line, nothing wrong."""

import errno
import json
import os
import shutil
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from cnnlab.config import build_finetune, compose, load_predictor, load_run, networks, objects
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.train import checkpoint
from cnnlab.train.arrays import CheckpointError
from cnnlab.train.checkpoint import read, write
from cnnlab.train.interrupt import Interrupt
from cnnlab.train.metrics import JsonLines, Loggers, read_lines
from cnnlab.train.position import Position
from cnnlab.train.rundir import RunDirectory

MNIST = {"_target_": "cnnlab.data.mnist", "val_fraction": 0.25, "source": None}
RECORD = {"kind": "train", "loss": 0.5, "accuracy": 0.75}


@pytest.fixture
def run(uninterrupted, tmp_path):
    """A copy of a finished run, and its last checkpoint."""
    folder = shutil.copytree(uninterrupted[0].directory.path, tmp_path / "run")
    return folder, max((folder / "checkpoints").glob("step-*"))


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
        *({"best": 1.5}, {"best": float("nan")}, {"best_step": -1}, {"best_step": 2.0}),
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


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:40],
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text.replace('"test_accuracy": ', '"test_accuracy": 1'),
        lambda text: '{"test_accuracy": 0.5}',
        lambda text: "\0" * len(text),
    ],
)
def test_a_damaged_result(tiny, uninterrupted, run, damage):
    directory = RunDirectory(run[0])
    directory.result.write_text(damage(directory.result.read_text()))
    with pytest.raises(CnnlabError, match=r"result.json: damaged \(.*\); without it"):
        directory.read_result(["test_accuracy", "test_loss"])


def test_a_result_of_an_older_version_is_read(uninterrupted, run):
    directory = RunDirectory(run[0])
    assert directory.read_result() == uninterrupted[1]
    directory.result.write_text(json.dumps({"test_accuracy": 0.5}))
    assert directory.read_result(["test_accuracy"]) == {"test_accuracy": 0.5}


def log(path, steps):
    lines = JsonLines(path, upto=0)
    for step in steps:
        lines.log({**RECORD, "step": step})
    lines.close()


def test_a_lost_history_is_said_and_what_is_left_is_kept(tmp_path, capsys):
    path = tmp_path / "metrics.jsonl"
    log(path, range(1, 6))
    JsonLines(path, upto=4, records=4).close()
    assert capsys.readouterr().err == ""
    path.write_bytes(path.read_bytes().replace(b'"step": 2', b'"st\0p": 2'))
    damaged = path.read_bytes()
    JsonLines(path, upto=4, records=4).close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "3 of 4 records up to step 4 are there" in said
    assert (tmp_path / "metrics.jsonl.damaged-1").read_bytes() == damaged
    assert [r["step"] for r in read_lines(path)] == [1, 3, 4]
    path.unlink()
    JsonLines(path, upto=4, records=4).close()
    assert "0 of 4 records up to step 4" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tiny, uninterrupted, monkeypatch):
    first, write_line = tiny("average=0.9"), JsonLines.log

    def full(self, record):
        if record["step"] == 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_line(self, record)

    monkeypatch.setattr(JsonLines, "log", full)
    with pytest.raises(CnnlabError, match=r"No space left.*command goes on from the l") as refused:
        first.run()
    assert "\n" not in str(refused.value) and str(first.directory.path) in str(refused.value)
    monkeypatch.undo()
    assert tiny("average=0.9").run()["test_loss"] == uninterrupted[1]["test_loss"]


@pytest.mark.parametrize("name", ["checkpoints", "figures", "metrics.jsonl", "config.yaml"])
def test_a_folder_or_file_in_the_way(tiny, name):
    experiment = tiny("epochs=1")
    then = "goes on from the last" if name == "figures" else "begins anew"
    place = experiment.directory.path / name
    if "." in name:
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True)
        place.write_text("")
    with pytest.raises(CnnlabError, match=f"{name}.*the same command {then}"):
        experiment.run()


def test_an_output_that_can_be_no_folder(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", Path("/proc/x")):
        with (
            pytest.raises(ConfigError, match=r"^output: expected a folder to write in"),
            RunDirectory(place / "run").lock(),
        ):
            pass


@pytest.mark.parametrize("name", [".lock", "figures", "checkpoints", "figures/confusion-test.png"])
def test_links_that_lead_out_of_a_run_are_not_written_through(run, tmp_path, name):
    """A run directory from somebody else: opening its lock file would empty what it points to."""
    folder, _ = run
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    link = folder / name
    shutil.rmtree(link, ignore_errors=True)
    link.unlink(missing_ok=True)
    link.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=f"{name} is a link that leads out"):
        load_run(folder)
    with (
        pytest.raises(ConfigError, match=f"{name} is a link that leads out"),
        RunDirectory(folder).lock(),
    ):
        pass
    assert elsewhere.read_text() == "mine"


def test_links_within_a_run_and_to_it_are_fine(run, tmp_path):
    folder, _ = run
    (folder / "figures" / "last.png").symlink_to("curves.png")
    (folder / "figures" / "itself.png").symlink_to("itself.png")
    (tmp_path / "short").symlink_to(folder)
    RunDirectory(tmp_path / "short").check_links()


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


def test_a_closed_terminal_asks_once_unless_it_is_ignored():
    before = signal.getsignal(signal.SIGHUP)
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupt.asked
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGHUP, before)


class Tracker:
    def __init__(self, calls, fails=False):
        self.calls, self.fails = calls, fails

    def start(self, folder, config, step=0):
        self.calls.append(("start", step))

    def log(self, record):
        self.calls.append((record["kind"], record["step"]))

    def picture(self, path, step):
        assert path.is_file()
        self.calls.append((path.stem, step))

    def close(self):
        self.calls.append("close")
        if self.fails:
            raise OSError("gone")


def test_trackers_get_the_score_and_the_figures_and_are_closed_last(tiny):
    calls = []
    experiment = tiny("epochs=1")
    experiment.loggers = [Tracker(calls)]
    experiment.run()
    assert calls[0] == ("start", 0)
    assert calls[-4:] == [("test", 3), ("curves", 3), ("confusion", 3), "close"]


def test_every_tracker_is_closed(tmp_path):
    calls = []
    loggers = Loggers(
        JsonLines(tmp_path / "m", upto=0), [Tracker(calls, fails=True) for _ in range(2)]
    )
    loggers.start(tmp_path, {}, 5)
    with pytest.raises(OSError, match="gone"):
        loggers.close()
    assert calls == [("start", 5), ("start", 5), "close", "close"]


def test_a_run_evaluates_again(run):
    """Nothing above is refused in a run that is as it was."""
    model, state, step = (experiment := load_run(run[0])).trained()
    result = RunDirectory(run[0]).read_result()
    assert step == 12
    evaluation = experiment.evaluator(experiment.data.test)(model, state)
    assert evaluation.accuracy == result["test_accuracy"]
