"""The command that measures other people's networks: what it refuses, writes and keeps."""

import importlib.util
import json
import sys

import pytest

from cnnlab.bench.models import measure
from experiments import bench_models

ROW = {"seconds": 0.2, "fastest": 0.1, "calls": 3, "compile": 1.0, "peak": 1e8}


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """The command with its overrides: its exit status, what it said and its JSON; nothing is
    measured, and `bench.cases` are those that would be."""

    def noted(case, settings):
        run.cases.append(case.title)
        ours = {"jax": ROW, "accelerated": ROW | {"seconds": 0.1}}
        return {"passes": {"forward": ours, "step": ours}, "shares": {}}

    def run(*overrides):
        run.cases = []
        argv = ["bench", "progress=false", f"output={tmp_path}", *overrides]
        monkeypatch.setattr(sys, "argv", argv)
        status = 0
        try:
            bench_models.main()
        except SystemExit as stop:
            status = stop.code
        path = tmp_path / "bench_models.json"
        return status, *capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    monkeypatch.setattr(measure, "measure", noted)
    return run


OURS = "modes=[jax,accelerated]"


def test_what_is_there_is_not_measured_again(bench, tmp_path):
    some = ("networks=WaveNet", "batch_sizes=[1]", OURS)
    status, out, err, _ = bench(*some, "sizes=[64]")
    assert (status, err, bench.cases) == (0, "", ["WaveNet (equinox), batch 1, 64"])
    assert "| WaveNet (equinox), batch 1, 64 | 200 | 100 | 2.00 |" in out
    names = {"bench_models.json", "bench_models.md", "bench_models.png"}
    assert {p.name for p in tmp_path.iterdir()} == names
    _, out, _, _ = bench(*some, "sizes=[64,128]")
    assert bench.cases == ["WaveNet (equinox), batch 1, 128"]
    assert out.count("| WaveNet (equinox), batch 1, ") == 4
    bench(*some, "sizes=[64]", "seconds=5")
    assert bench.cases == ["WaveNet (equinox), batch 1, 64"]


def test_a_library_that_is_missing_is_said_before_anything_is_measured(bench, monkeypatch):
    there = importlib.util.find_spec
    gone = lambda name, *more: None if name in ("keras", "flax") else there(name, *more)
    monkeypatch.setattr(importlib.util, "find_spec", gone)
    for override, package in (("networks=keras", "keras"), ("networks=ConvNeXt", "keras")):
        status, out, err, found = bench(override, OURS)
        assert (status, out, found, bench.cases) == (2, "", None, [])
        assert err.count("\n") == 1 and f"networks: {package} is not installed" in err
        assert "the extra bench" in err
    assert bench("networks=UNet", OURS)[0] == 0 and len(bench.cases) == 4


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("networks=ResNet51", "networks: none of the 55 names contains 'ResNet51', as 'MobileNet"),
        ("modes=[tf]", "modes[0]: "),
        ("modes=[]", "modes: expected some of jax, accelerated, torch, torch compiled, got []"),
        ("sizes=[16]", "sizes[0]: expected a whole number from 32 to 4096, got 16"),
        ("batch_sizes=[0]", "batch_sizes[0]: "),
        ("patience=0", "patience: expected a number > 0, got 0"),
    ],
)
def test_bad_settings(bench, override, says):
    status, out, err, found = bench(override)
    assert (status, out, found) == (2, "", None)
    assert says in err and err.count("\n") == 1
