"""What commands say, and how often."""

import logging
import sys

from cnnlab.console import Bar, narrate, progress


def test_a_message_is_said_once_where_the_root_logger_has_a_handler_too(monkeypatch, capsys):
    logger, handler = logging.getLogger("cnnlab"), logging.StreamHandler(sys.stderr)
    for name, value in (("propagate", True), ("handlers", []), ("level", logging.NOTSET)):
        monkeypatch.setattr(logger, name, value)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    narrate()
    logger.info("here")
    assert capsys.readouterr().err == "here\n"


def test_progress_names_what_is_at_work(monkeypatch, capsys):
    todo = {"first": 1, "second": 2}
    assert dict(progress(todo, show=False)) == dict(progress(todo, show=True)) == todo
    assert capsys.readouterr().err == ""  # it is no terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert dict(progress(todo, show=True)) == todo
    assert "2/2" in capsys.readouterr().err


def test_a_line_that_is_kept_says_what_is_known(capsys):
    with Bar(show=True, unit="step") as bar:
        bar.start(0, 20, "compiling")
        bar.keep(10, "validation loss 0.4")
        bar.update(19, "loss 0.5")
        bar.keep(19, "validation loss 0.6")
        bar.keep(20, "validation loss 0.7")
    assert capsys.readouterr().err.splitlines() == [
        "step 10/20  validation loss 0.4",
        "step 19/20  loss 0.5  |  validation loss 0.6",
        "step 20/20  validation loss 0.7",  # what was known at step 19 is not said again
    ]
