"""What was measured stays measured."""

import json
import os

import pytest

from cnnlab.errors import CnnlabError
from experiments._cells import Cells


def test_a_cell_is_computed_once(tmp_path):
    file, calls = tmp_path / "cells.jsonl", []
    thunk = lambda value: lambda: calls.append(value) or value
    cells = Cells(file)
    assert cells.get("a", thunk([1, 2])) == [1, 2]
    assert cells.all({"a": thunk(0), "b": thunk({"x": 0.1})}) == {"a": [1, 2], "b": {"x": 0.1}}
    again = Cells(file)
    assert again.all({"b": thunk(0), "a": thunk(0), "c": thunk(None)}) == {
        "b": {"x": 0.1}, "a": [1, 2], "c": None
    }  # fmt: skip
    assert calls == [[1, 2], {"x": 0.1}, None]


def test_a_value_is_the_same_fresh_as_read(tmp_path):
    fresh = Cells(tmp_path / "cells.jsonl").get("a", lambda: (1, (2.5,)))
    assert fresh == Cells(tmp_path / "cells.jsonl").get("a", lambda: None) == [1, [2.5]]
    assert Cells().get("a", lambda: (1,)) == [1]


@pytest.mark.parametrize("tail", ['{"key": "b", "va', '{"key": "b"}\n', "\x00\x00\n", "[]\n"])
def test_a_half_written_line_is_dropped(tmp_path, tail):
    file = tmp_path / "cells.jsonl"
    Cells(file).get("a", lambda: 1)
    with file.open("a") as handle:
        handle.write(tail)
    cells = Cells(file)
    assert cells.get("a", lambda: 2) == 1
    assert cells.get("b", lambda: 3) == 3
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == [{"key": "a", "value": 1}, {"key": "b", "value": 3}]


def test_a_full_disk_is_said_in_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")

    class Full(Cells):
        def __init__(self):
            super().__init__()
            from pathlib import Path

            self._file = Path("/dev/full")

    with pytest.raises(CnnlabError, match="/dev/full: No space left"):
        Full().get("a", lambda: 1)
