"""A run directory whose files are damaged, in the way or links, and disks that refuse; trackers."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from cnnlab.claims import Claim, Held
from cnnlab.config import load_run
from cnnlab.errors import CnnlabError, ConfigError
from cnnlab.train.interrupt import Interrupt
from cnnlab.train.metrics import JsonLines, Loggers, read_lines
from cnnlab.train.rundir import RunDirectory

NUMBERS = ("test_loss", "test_examples", "parameters", "steps", "train_seconds", "peak_memory_mb")
RECORD = {"kind": "train", "loss": 0.5, "accuracy": 0.75}


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


@pytest.mark.parametrize(
    "name", [".claim-1", "figures", "checkpoints", "figures/confusion-test.png"]
)
def test_links_that_lead_out_of_a_run_are_not_written_through(run, tmp_path, name):
    """A run directory from somebody else: nothing is written to where it points."""
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


def test_what_another_process_ended_meanwhile_is_not_run_again(tiny, monkeypatch):
    """It was not complete when this one looked, and is when this one has the directory."""
    directory = tiny().directory
    directory.write_result(
        {"test_accuracy": 0.5, "test_accuracy_single_view": 0.5, **dict.fromkeys(NUMBERS, 1)}
    )
    looked = iter([False])
    complete = RunDirectory.complete
    monkeypatch.setattr(RunDirectory, "complete", lambda self: next(looked, complete(self)))
    assert tiny().run()["test_accuracy"] == 0.5


def test_a_run_that_was_taken_over_writes_no_more_checkpoints(tiny, monkeypatch):
    def lost(claim):
        raise Held(Path(), "another process took this over")

    monkeypatch.setattr(Claim, "check", lost)
    experiment = tiny("epochs=1", "data.val_fraction=0")
    with pytest.raises(Held):
        experiment.run()
    assert not experiment.directory.complete()
    assert not list(experiment.directory.path.glob("checkpoints/*"))


def test_links_within_a_run_and_to_it_are_fine(run, tmp_path):
    folder, _ = run
    (folder / "figures" / "last.png").symlink_to("curves.png")
    (folder / "figures" / "itself.png").symlink_to("itself.png")
    (tmp_path / "short").symlink_to(folder)
    RunDirectory(tmp_path / "short").check_links()


def test_a_closed_terminal_asks_once_unless_it_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it
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
