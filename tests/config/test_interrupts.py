"""Ctrl-C is heard wherever it comes: what drops a `KeyboardInterrupt` gets another."""

import contextlib
import os
import signal
import sys
from types import SimpleNamespace

import pytest
from hydra._internal.hydra import Hydra

from cnnlab.config.cli import _Command
from cnnlab.config.interrupts import Interrupts
from cnnlab.config.source import Source

from .task import forever


def press():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def interrupts():
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    made = Interrupts()
    with pytest.raises(KeyboardInterrupt), made.heard():
        yield made
        forever()
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_dropped_by_other_code(interrupts):
    try:
        press()
        forever()
    except KeyboardInterrupt:
        pass


def test_pressed_while_python_drops_one(interrupts, monkeypatch, capsys):
    """Within the hook it would be dropped as well, and written to the terminal."""

    def ring():
        monkeypatch.undo()
        press()

    monkeypatch.setattr(interrupts, "_ring", ring)
    sys.unraisablehook(SimpleNamespace(exc_type=KeyboardInterrupt))
    assert interrupts.pressed and capsys.readouterr().err == ""


class Counting(Interrupts):
    count = 0

    def _interrupt(self, number, frame):
        self.count += 1
        super()._interrupt(number, frame)


def test_what_cleans_up_is_not_disturbed_until_it_is_pressed_again():
    interrupts, cleaned = Counting(), []
    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        try:
            press()
        finally:
            while interrupts.count < 4:
                pass
            cleaned.append("once")
            try:
                press()
            finally:
                cleaned.append("twice")
            cleaned.append("more")
    assert cleaned == ["once", "twice"]


def test_whoever_takes_ctrl_c_in_our_place_gets_it_once():
    taken = []
    interrupts = Counting()
    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        with contextlib.suppress(KeyboardInterrupt):
            press()
        before = signal.signal(signal.SIGINT, lambda *_: taken.append(1))
        while not taken:
            pass
        signal.signal(signal.SIGINT, before)
        assert taken == [1] and interrupts.count == 1
        press()


def test_where_nothing_is_at_work_the_process_ends_at_once(monkeypatch, capfd):
    """Hydra, interrupted as it composes, would say that the config is at fault."""
    interrupts, ended = Interrupts(), []
    monkeypatch.setattr(os, "_exit", ended.append)
    with pytest.raises(KeyboardInterrupt), interrupts.heard():
        interrupts.idle = True
        press()
    assert ended[0] == 130 and capfd.readouterr().err.startswith("interrupted\n")


@pytest.mark.parametrize("arguments", [["seed=1"], ["-m", "seed=1,2"]])
def test_a_command_is_idle_until_its_job_begins(configs, tmp_path, monkeypatch, arguments):
    """Of a sweep, jobs may be at work elsewhere."""
    composed, worked = [], []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["task.py", *arguments])
    source = Source(str(configs.resolve()), "train")
    command = _Command(lambda cfg: worked.append(command.interrupts.idle), source, ())
    compose = Hydra.compose_config

    def composing(*args, **kwargs):
        composed.append(command.interrupts.idle)
        return compose(*args, **kwargs)

    monkeypatch.setattr(Hydra, "compose_config", composing)
    assert command.run() == 0
    assert composed and set(composed) == {"-m" not in arguments}
    assert worked and not any(worked)
