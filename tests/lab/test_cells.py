"""What was measured stays measured."""

import json
import os
import time

import pytest

from cnnlab.errors import CnnlabError
from cnnlab.lab.cells import Cells


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


@pytest.mark.parametrize("tail", ['{"key": "b", "va', "\x00\x00", '{"key": "b", "value": 2}'])
def test_a_half_written_line_is_dropped(tmp_path, tail):
    file = tmp_path / "cells.jsonl"
    Cells(file).get("a", lambda: 1)
    with file.open("a") as handle:
        handle.write(tail)
    cells = Cells(file)
    assert cells.get("a", lambda: 2) == 1
    assert cells.get("b", lambda: 3) == 3
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["key"], line["value"]) for line in lines] == [("a", 1), ("b", 3)]


def test_what_was_measured_before_keeps_its_seconds(tmp_path, monkeypatch):
    """Each cell's own: what a cell has asked another for is the other's."""
    clock = iter([0.0, 10.0, 13.0, 20.0, 30.0, 31.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    cells = Cells(file := tmp_path / "cells.jsonl")
    cells.get("outer", lambda: cells.get("inner", lambda: 1))  # 0 to 20, within it 10 to 13
    cells.get("other", lambda: 2)
    lines = map(json.loads, file.read_text().splitlines())
    assert {line["key"]: line["seconds"] for line in lines} == {
        "outer": 17.0, "inner": 3.0, "other": 1.5
    }  # fmt: skip
    assert cells.before == 0.0 and Cells(file).before == 21.5


@pytest.mark.parametrize("line", ['{"key": "b"}', "\x00\x00", "[]", '{"key": "b", "va', "\xff"])
def test_other_damage_is_said(tmp_path, line):
    """What was measured after the damaged line would be lost without a word."""
    file = tmp_path / "cells.jsonl"
    Cells(file).get("a", lambda: 1)
    content = file.read_bytes() + line.encode("latin-1") + b'\n{"key": "c", "value": 3}\n'
    file.write_bytes(content)
    with pytest.raises(CnnlabError, match=r"cells\.jsonl: line 2 is damaged; force=true"):
        Cells(file)
    assert file.read_bytes() == content


def test_records_of_cells(tmp_path):
    calls = []
    work = lambda pool, seed: calls.append(pool) or [{"by": b, "loss": seed + b} for b in (0, 5)]
    cells = Cells(tmp_path / "cells.jsonl")
    found = cells.records("loss", work, pool=["avg", "max"], seed=range(2))
    assert found == Cells(tmp_path / "cells.jsonl").records(
        "loss", work, pool=["avg", "max"], seed=range(2)
    )
    assert found.where(pool="max", by=5)["loss"] == [5, 6] and len(calls) == 4
    assert cells.records("square", lambda n: n * n, n=[3]) == [{"n": 3, "square": 9}]
    assert cells.records("fit", lambda n: {"a": n}, n=[3]) == [{"n": 3, "a": 3}]
    assert cells.get("loss: pool max, seed 1", lambda: None)[1] == {"by": 5, "loss": 6}


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


def test_as_many_seeds_as_it_takes(tmp_path):
    """From 2 on, until two arms' records are enough, and no more than 5; none is computed twice."""
    calls = []
    work = lambda seed, arm: calls.append((seed, arm)) or seed
    cells, axes = Cells(tmp_path / "cells.jsonl"), {"arm": ["a", "b"]}
    until = lambda n: lambda found: len(found.where(arm="a")) >= n
    of = lambda n: cells.seeds("loss", work, until(n), first=7, least=2, most=5, **axes)
    assert of(1)["seed"] == [7, 7, 8, 8]
    assert of(3)["arm"] == ["a", "b"] * 3 and of(3)["loss"] == [7, 7, 8, 8, 9, 9]
    assert len(of(99).where(arm="b")) == 5
    assert calls == [(7 + n, arm) for n in range(5) for arm in "ab"]
    fewer = cells.seeds("loss", work, until(1), first=7, least=3, most=2, **axes)
    assert len(fewer.where(arm="b")) == 3
