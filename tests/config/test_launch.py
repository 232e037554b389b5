"""`runtime.launch`: processes are started, signalled and waited for; here, of a few lines each."""

import os
import signal
import sys
import threading

import pytest
from omegaconf import OmegaConf

from cnnlab.config import launch
from cnnlab.config.launch import launched
from cnnlab.errors import ConfigError

FREE = {"processes": None, "process": None, "coordinator": None}
# Each knows its number, and waits for those that are to end before it.
CHILD = """
import os, signal, sys, time
given = dict(a.split("=") for a in sys.argv[1:])
index = int(given["runtime.process"])
assert given["runtime.processes"] == "3" and given["runtime.launch"] == "null"
assert given["runtime.coordinator"].startswith("localhost:")
os.mkdir(os.path.join(os.environ["FOLDER"], str(index)))
%s
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """`start(what three processes do)`: the exit status; None where all goes well."""

    def run(body):
        monkeypatch.setenv("FOLDER", str(tmp_path))
        monkeypatch.setattr(sys, "orig_argv", ["python", "-c", CHILD % body])
        try:
            assert launched(OmegaConf.create({"runtime": {**FREE, "launch": 3}, "batch_size": 6}))
        except SystemExit as stop:
            return stop.code
        return None

    return run


def test_nothing_is_started_unless_it_is_asked_for():
    assert not launched(OmegaConf.create({"runtime": {}}))
    assert not launched(OmegaConf.create({"runtime": {**FREE, "launch": None}}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"processes": 2}, "runtime.processes: expected null, as launch=3 gives it, got 2"),
        ({"coordinator": "a:1"}, "runtime.coordinator: expected null"),
    ],
)
def test_contradictions_are_refused(change, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        launched(OmegaConf.create({"runtime": {**FREE, "launch": 3, **change}, "batch_size": 6}))


def test_a_batch_that_they_cannot_share_is_refused():
    cfg = OmegaConf.create({"runtime": {**FREE, "launch": 3}, "batch_size": 32})
    with pytest.raises(ConfigError, match=r"^batch_size: expected a multiple of the 3 processes"):
        launched(cfg)


def test_each_is_told_its_number_and_only_the_first_is_heard(start, tmp_path, capfd):
    assert start("print(index); print('note', index, file=sys.stderr)") is None
    assert capfd.readouterr() == ("0\n", "note 0\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("body", "status", "line"),
    [
        ("if index == 0: os.kill(os.getpid(), 9)", 1, "process 0 of 3 ended by SIGKILL; the same"),
        ("if index == 2: sys.exit(5)", 5, "process 2 of 3 ended with status 5; the same command"),
        (
            "if index == 1: sys.exit(print('note\\nerror: no room', file=sys.stderr) or 2)",
            2,
            "no room",
        ),
    ],
)
def test_what_fails_is_said_in_one_line(start, capfd, body, status, line):
    assert start(body) == status
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(f"error: {line}") and err.count("\n") == 1


def test_the_first_says_itself_why_it_fails(start, capfd):
    body = "if index == 0: print('error: mine', file=sys.stderr)\nsys.exit(1 + index)"
    assert start(body) == 1
    assert capfd.readouterr().err == "error: mine\n"


def test_the_others_are_ended_where_they_do_not_end_themselves(start, monkeypatch):
    monkeypatch.setattr(launch, "_PATIENCE", 0.0)
    assert start("if index == 0: sys.exit(3)\nsignal.pause()") == 3


def test_signals_go_on_to_all(start, tmp_path):
    handled = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"
    ready = "open(os.path.join(os.environ['FOLDER'], f'ready{index}'), 'w').close()\n"

    def ask():
        while len(list(tmp_path.glob("ready*"))) < 3:
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert start(handled + ready + "signal.pause()") == 130
    asking.join()


@pytest.mark.parametrize(
    ("cores", "number", "threads"), [({0, 1, 2, 5}, 2, "2"), ({3, 4, 6}, 2, "1"), ({0}, 2, "1")]
)
def test_cores_are_shared_out(monkeypatch, cores, number, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: cores, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("NPROC", "7")
    found = launch._environment(number)
    assert (found["OMP_NUM_THREADS"], found["NPROC"]) == (threads, "7")
    assert found["PATH"] == os.environ["PATH"]
