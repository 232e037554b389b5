"""What commands say, and how often."""

import logging
import sys

from cnnlab.console import narrate, progress


def test_a_message_is_said_once_where_the_root_logger_has_a_handler_too(monkeypatch, capsys):
    logger, handler = logging.getLogger("cnnlab"), logging.StreamHandler(sys.stderr)
    for name, value in (("propagate", True), ("handlers", []), ("level", logging.NOTSET)):
        monkeypatch.setattr(logger, name, value)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    narrate()
    logger.info("here")
    assert capsys.readouterr().err == "here\n"


def test_progress_names_what_is_at_work(capsys):
    todo = {"first": 1, "second": 2}
    assert dict(progress(todo, show=False)) == todo
    assert capsys.readouterr().err == ""
    assert dict(progress(todo, show=True)) == todo
    assert "2/2" in capsys.readouterr().err
