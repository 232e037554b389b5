"""The benchmark's command: what it checks, writes and keeps. Nothing here asserts a speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnlab.bench import contenders, grid, measurements
from cnnlab.ops import FOURIER, REFERENCE, REGISTRY, describe
from cnnlab.ops.native import ENGINE
from experiments import bench_conv

ROOT = Path(__file__).parents[2]
# With and without the native engine, where there is one.
AUTO = {"auto"} | ({contenders.PORTABLE} if ENGINE.refusal() is None else set())
# One that serves every case, and is not measured anyway.
ONE = next(n for n, a in REGISTRY.items() if n != REFERENCE and a.most_taps is not None)
TINY = ["seconds=0.001", "progress=false"]


def tiny(*shapes, **geometry):
    problems = [describe(x, kernel, **geometry) for x, kernel in shapes]
    return {grid.title(p): p for p in problems}


@pytest.fixture
def small(monkeypatch):
    """Two small cases, and a sweep of each kind, in place of the grid."""
    dense, long = ((2, 6, 6, 2), (3, 3, 2, 3)), ((2, 12, 2), (4, 1, 2))
    depthwise = {"groups": 2, "padding": "CAUSAL"}
    monkeypatch.setattr(grid, "GRID", tiny(dense) | tiny(long, **depthwise))
    sweep = {k: describe((1, 9, 2), (k, 1, 2), **depthwise) for k in (1, 2)}
    monkeypatch.setattr(grid, "KERNEL_SIZES", {"1-D": sweep})
    sweep = {c: describe((1, 4, 4, c), (3, 3, c, c)) for c in (1, 2)}
    monkeypatch.setattr(grid, "CHANNELS", sweep)
    return list(grid.GRID)


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """The command with its overrides: its exit status, what it said and its JSON."""

    def run(*overrides):
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # it sets this, and tests leave no trace
        monkeypatch.setattr(sys, "argv", ["bench", *TINY, f"output={tmp_path}", *overrides])
        status = 0
        try:
            bench_conv.main()
        except SystemExit as stop:
            status = stop.code
        path = tmp_path / "bench_conv.json"
        return status, *capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    return run


def test_one_case_of_the_grid_in_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "experiments.bench_conv",
                *TINY,
                "figures=false",
                "peers=[eqx]",
            ),
            *("cases='3x3 3->32, 64x64, batch 1'", "passes=[forward]", f"algorithms=[{ONE}]"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs" / "bench_conv"
    assert {p.name for p in folder.iterdir()} == {"bench_conv.json", "bench_conv.md"}
    [(name, case)] = json.loads((folder / "bench_conv.json").read_text())["cases"].items()
    assert name == "3x3 3->32, 64x64, batch 1"
    assert set(case["passes"]["forward"]) == {REFERENCE, *AUTO, ONE, "eqx"}
    assert (folder / "bench_conv.md").read_text() in done.stdout


def test_tables_figures_and_numbers(small, bench, tmp_path):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    status, out, err, found = bench(f"algorithms=[{REFERENCE},{FOURIER}]")
    assert (status, err) == (0, "")
    names = {"bench_conv.json", "bench_conv.md", "kernel_size.png", "channels.png"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert found["machine"]["versions"]["torch"] == torch.__version__
    dense, long = (found["cases"][name] for name in small)
    contenders = {REFERENCE, *AUTO, FOURIER, "eqx", "torch"}
    for which in ("forward", "gradients"):
        assert set(dense["passes"][which]) == {*contenders, "torch channels-last"}
        assert set(long["passes"][which]) == contenders
        for row in (dense["passes"][which] | long["passes"][which]).values():
            assert row["error"] < 1e-3 and row["calls"] >= 3
            assert 0 < row["fastest"] <= row["seconds"]
    assert out.count("geometric means, forward") == 2 and "(n = 2)" in out
    assert all(out.count(f"| {name} ") == 2 for name in small)
    sweeps = [case for name, case in found["cases"].items() if name not in small]
    assert len(sweeps) == 4 and all(set(case["passes"]) == {"forward"} for case in sweeps)


def test_a_contender_that_computes_something_else_is_not_timed(small, bench, monkeypatch):
    honest = contenders._equinox

    def scaled(problem, arrays):
        return honest(problem, arrays._replace(kernel=arrays.kernel * np.float32(1.001)))

    monkeypatch.setattr(contenders, "_equinox", scaled)
    _, out, _, found = bench("peers=[eqx]", f"algorithms=[{ONE}]", "figures=false")
    for name in small:
        rows = found["cases"][name]["passes"]["gradients"]
        assert rows["eqx"] == {"error": pytest.approx(1e-3, rel=0.01), "wrong": True}
        assert "seconds" in rows["auto"] and "seconds" in rows[ONE]
        assert f"- wrong: eqx, {name}, gradients: relative error 1.0e-03" in out


def test_a_contender_that_fails_is_reported_and_the_others_go_on(small, bench, monkeypatch):
    def broken():
        raise RuntimeError("no memory\nfor this")

    run = dict.fromkeys(contenders.TIMED_PASSES, broken)
    contender = contenders.Contender(run, lambda result: result)
    monkeypatch.setattr(contenders, "_equinox", lambda *_: contender)
    _, out, _, found = bench("peers=[eqx]", f"algorithms=[{ONE}]", "passes=[forward]")
    rows = found["cases"][small[0]]["passes"]["forward"]
    assert rows["eqx"] == {"failed": "RuntimeError: no memory for this"}
    assert "seconds" in rows[ONE]
    assert f"- failed: eqx, {small[0]}, forward: RuntimeError: no memory for this" in out


def test_what_is_there_is_kept(small, bench, monkeypatch):
    options = ["peers=[]", f"algorithms=[{ONE}]", "passes=[forward]", "figures=false"]
    measured = []
    honest = measurements.measure_convolution
    noted = lambda problem, settings: measured.append(problem) or honest(problem, settings)
    monkeypatch.setattr(measurements, "measure_convolution", noted)
    count = lambda *more: (measured.clear(), bench(*options, *more), len(measured))[-1]
    assert count("cases=1-D") == 1
    assert count() == 1
    assert count() == 0
    assert count("force=true", "cases=1-D") == 1
    monkeypatch.setattr(measurements, "code", lambda: "edited")
    assert count("cases=1-D") == 1
    assert count() == 1
    assert count("seed=1") == 2
    assert count("seed=1") == 0


def test_another_machine_is_not_mixed_in(small, bench, monkeypatch):
    options = ["peers=[]", f"algorithms=[{ONE}]", "passes=[forward]", "figures=false"]
    bench(*options)
    monkeypatch.setattr(
        measurements, "machine", lambda: {"versions": {"jax": "0"}, "cores": 3} | GONE
    )
    status, out, err, _ = bench(*options)
    assert (status, out) == (1, "")
    assert err.startswith("error: output: ") and err.count("\n") == 1 and "force=true" in err
    status, _, _, found = bench(*options, "force=true", "cases=1-D")
    assert status == 0 and list(found["cases"]) == [small[1]] and found["machine"]["cores"] == 3


GONE = {"device": "1 x abacus", "processor": "beads"}


def test_without_torch_its_columns_are_missing(small, bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # what makes an import fail
    options = [f"algorithms=[{ONE}]", "passes=[forward]", "figures=false"]
    status, out, err, found = bench(*options)
    assert status == 0 and err.count("\n") == 1 and err.startswith("no columns of torch: ")
    assert set(found["cases"][small[0]]["passes"]["forward"]) == {REFERENCE, *AUTO, ONE, "eqx"}
    assert "auto/torch 0" not in out and "auto/eqx" in out


def test_a_forced_algorithm_is_refused(small, bench, monkeypatch):
    monkeypatch.setenv("CNNLAB_CONV", FOURIER)
    status, _, err, _ = bench()
    assert status == 2 and err.startswith("error: CNNLAB_CONV: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cases=hexagonal", "cases: none of the 6 names contains 'hexagonal', as "),
        ("passes=[backward]", "passes[0]: expected one of forward, gradients, got 'backward'"),
        ("passes=[]", "passes: expected some of forward, gradients, got []"),
        ("peers=[eqx,keras]", "peers[1]: expected one of eqx, torch, got 'keras'"),
        ("algorithms=[fast]", "algorithms[0]: expected one of "),
        ("seconds=0", "seconds: expected a number > 0, got 0"),
        ("seed=-1", "seed: expected a whole number >= 0, got -1"),
        ("case=3x3", "case: no such key"),
    ],
)
def test_a_bad_setting_is_one_line_and_nothing_is_written(
    small, bench, tmp_path, override, message
):
    status, out, err, _ = bench(override)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_help_answers_without_jax():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "experiments.bench_conv", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported and not imported & {"jax", "equinox", "torch"}
