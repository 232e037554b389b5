"""The agreement tool as a command, and that it finds a wrong algorithm."""

import dataclasses
import functools
import json
import sys

import numpy as np
import pytest

from cnnlab.ops import PASSES, REFERENCE, REGISTRY
from experiments import agreement

# Two that sum every result by themselves.
ONE, ANOTHER = [
    name
    for name, a in REGISTRY.items()
    if a.portable and a.direct(a.example(1), "forward", "cpu") and name != REFERENCE
][:2]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["agreement", "progress=false", *arguments])
    agreement.main()


def test_the_command_compares_every_algorithm_and_leaves_a_table(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "geometries=2", "peers=[]", f"output={tmp_path / 'out'}")
    lines = json.loads((tmp_path / "out" / "agreement.json").read_text())["lines"]
    assert [(i["algorithm"], i["which"]) for i in lines] == [
        (name, which)
        for name, algorithm in REGISTRY.items()
        if algorithm.unavailable() is None
        for which in PASSES
    ]
    for line in lines:
        assert line["n"] == 2 and line["holds"] and line["worst"] <= line["limit"]
        assert line["limit"] == REGISTRY[line["algorithm"]].tolerance(np.float32)
        assert line["geometry"].endswith("float32")
    table = (tmp_path / "out" / "agreement.md").read_text()
    assert table == capsys.readouterr().out and table.count("\n|") == 2 + len(lines)


@pytest.mark.parametrize("which", PASSES)
def test_a_wrong_algorithm_breaks_its_limit(monkeypatch, tmp_path, capsys, which):
    """An error of 1 in 50,000 in one pass, of one algorithm, is found there and nowhere else."""
    right = REGISTRY[ONE]
    passes = {name: functools.partial(right.compute, name) for name in PASSES}
    wrong = {which: lambda a, b, problem: passes[which](a, b, problem) * np.float32(1 + 2e-5)}
    monkeypatch.setitem(REGISTRY, ONE, dataclasses.replace(right, **passes | wrong))
    with pytest.raises(SystemExit) as stop:
        run(
            monkeypatch,
            "geometries=3",
            "peers=[]",
            f"algorithms=[{ANOTHER},{ONE}]",
            f"output={tmp_path}",
        )
    assert stop.value.code == 1
    assert capsys.readouterr().err == f"error: limits broken: {ONE} ({which})\n"
    lines = json.loads((tmp_path / "agreement.json").read_text())["lines"]
    broken = [(i["algorithm"], i["which"]) for i in lines if not i["holds"]]
    assert broken == [(ONE, which)]
    assert "1e-05 **broken**" in (tmp_path / "agreement.md").read_text()


def test_a_result_that_is_not_a_number_breaks_the_limit(monkeypatch, tmp_path):
    right = REGISTRY[ONE]
    wrong = lambda x, kernel, problem: right.forward(x, kernel, problem) * np.float32("nan")
    monkeypatch.setitem(REGISTRY, ONE, dataclasses.replace(right, forward=wrong))
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "geometries=1", "peers=[]", f"algorithms={ONE}", f"output={tmp_path}")
    assert stop.value.code == 1
    lines = json.loads((tmp_path / "agreement.json").read_text())["lines"]
    assert lines[0]["worst"] is None and not lines[0]["holds"]


def test_pytorch_agrees(monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is a reference, not a dependency")
    counts = ["geometries=4", "peer_geometries=3"]
    run(monkeypatch, *counts, f"algorithms=[{REFERENCE},{ONE}]", f"output={tmp_path}")
    lines = json.loads((tmp_path / "agreement.json").read_text())["lines"]
    assert [(i["against"], i["n"]) for i in lines[:6]] == [("reference", 4)] * 3 + [
        ("torch", 3)
    ] * 3
    assert all(i["holds"] for i in lines)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (f"algorithms=[{ONE},lex]", "algorithms[1]: expected one of "),
        ("peers=[tensorflow]", "peers[0]: expected one of torch, got 'tensorflow'"),
        ("geometries=0", "geometries: expected a whole number >= 1, got 0"),
        ("seed=-1", "seed: expected a whole number >= 0, got -1"),
    ],
)
def test_bad_settings_are_one_line(monkeypatch, capsys, argument, says):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, argument)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.count("\n") == 1 and err.startswith(f"error: {says}")


def test_a_forced_algorithm_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("CNNLAB_CONV", REFERENCE)
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "geometries=1")
    assert stop.value.code == 2 and "CNNLAB_CONV: it forces" in capsys.readouterr().err
