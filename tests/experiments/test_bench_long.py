"""The benchmark of long convolutions: what it checks and writes. Nothing here asserts a speed."""

import json
import sys

import pytest

from cnnlab.bench import long
from experiments import bench_long


def test_all_agree_and_are_drawn(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # it sets this, and tests leave no trace
    monkeypatch.setattr(long, "SHAPES", ((2, 3, 64),))
    values = ["seconds=0.001", "progress=false", f"output={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["bench_long", *values])
    bench_long.main()
    said = capsys.readouterr().out
    cases = json.loads((tmp_path / "bench_long.json").read_text())["cases"]
    assert list(cases) == ["2x3x64, kernel 64", "2x3x64, kernel 4"]
    for case in cases.values():
        for rows in case["passes"].values():
            assert {*long.names(), long.JAX} <= set(rows)
            assert all("seconds" in row for row in rows.values())
    assert said.startswith((tmp_path / "bench_long.md").read_text())
    assert (tmp_path / "bench_long.png").stat().st_size > 10_000


def test_what_is_wrong_is_not_timed(monkeypatch):
    monkeypatch.setattr(long, "SHAPES", ((2, 3, 64),))
    right = long._jax
    twice = lambda problem, arrays: right(problem, arrays._replace(x=2 * arrays.x))
    monkeypatch.setattr(long, "_jax", twice)
    problem = next(iter(long.grid(64).values()))
    rows = long.measure(problem, ["forward"], False, 0.001, 0)["forward"]
    assert [name for name, row in rows.items() if "seconds" in row] == [long.JAX]
    assert float(rows["auto"]["error"]) == pytest.approx(0.5, abs=0.01)
