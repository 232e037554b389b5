"""What commands say, and how often."""

import logging
import sys

from cnnlab.console import narrate


def test_a_message_is_said_once_where_the_root_logger_has_a_handler_too(monkeypatch, capsys):
    logger, handler = logging.getLogger("cnnlab"), logging.StreamHandler(sys.stderr)
    for name, value in (("propagate", True), ("handlers", []), ("level", logging.NOTSET)):
        monkeypatch.setattr(logger, name, value)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    narrate()
    logger.info("here")
    assert capsys.readouterr().err == "here\n"
