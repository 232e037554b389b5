"""The benchmark's command: what it checks, writes and keeps. Nothing here asserts a speed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnlab.bench import contenders, grid, measurements, report
from cnnlab.ops import REGISTRY, describe
from cnnlab.ops.native import ENGINE
from experiments import bench_conv

ROOT = Path(__file__).parents[2]
# With and without the native engine, where there is one.
AUTO = {"auto"} | ({contenders.PORTABLE} if ENGINE.refusal() is None else set())
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
            *("cases='3x3 3->32, 64x64, batch 1'", "passes=[forward]", "algorithms=[im2col]"),
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
    assert set(case["passes"]["forward"]) == {"lax", *AUTO, "im2col", "eqx"}
    assert (folder / "bench_conv.md").read_text() in done.stdout


def test_tables_figures_and_numbers(small, bench, tmp_path):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    status, out, err, found = bench("algorithms=[lax,fft]")
    assert (status, err) == (0, "")
    names = {"bench_conv.json", "bench_conv.md", "kernel_size.png", "channels.png"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert found["machine"]["versions"]["torch"] == torch.__version__
    dense, long = (found["cases"][name] for name in small)
    contenders = {"lax", *AUTO, "fft", "eqx", "torch"}
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
    _, out, _, found = bench("peers=[eqx]", "algorithms=[im2col]", "figures=false")
    for name in small:
        rows = found["cases"][name]["passes"]["gradients"]
        assert rows["eqx"] == {"error": pytest.approx(1e-3, rel=0.01), "wrong": True}
        assert "seconds" in rows["auto"] and "seconds" in rows["im2col"]
        assert f"- wrong: eqx, {name}, gradients: relative error 1.0e-03" in out


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_wrong_value_in_any_result_is_seen(index):
    [problem] = tiny(((2, 6, 6, 2), (3, 3, 2, 3))).values()
    right = contenders.contenders(problem, contenders.draw(problem, 0), [], [])["lax"]
    reference = right.result("gradients")
    assert contenders.error(reference, reference) == 0
    wrong = [a.copy() for a in reference]
    wrong[index][0] += 0.5
    assert contenders.error(wrong, reference) > 1e-2
    wrong[index][0] = np.nan
    assert not contenders.error(wrong, reference) <= 1
    wrong[index] = wrong[index][:1]
    assert contenders.error(wrong, reference) == float("inf")


def test_a_contender_that_fails_is_reported_and_the_others_go_on(small, bench, monkeypatch):
    def broken():
        raise RuntimeError("no memory\nfor this")

    run = dict.fromkeys(contenders.PASSES, broken)
    contender = contenders.Contender(run, lambda result: result)
    monkeypatch.setattr(contenders, "_equinox", lambda *_: contender)
    _, out, _, found = bench("peers=[eqx]", "algorithms=[im2col]", "passes=[forward]")
    rows = found["cases"][small[0]]["passes"]["forward"]
    assert rows["eqx"] == {"failed": "RuntimeError: no memory for this"}
    assert "seconds" in rows["im2col"]
    assert f"- failed: eqx, {small[0]}, forward: RuntimeError: no memory for this" in out


def test_what_is_there_is_kept(small, bench, monkeypatch):
    options = ["peers=[]", "algorithms=[im2col]", "passes=[forward]", "figures=false"]
    measured = []
    honest = measurements.measure
    noted = lambda problem, settings: measured.append(problem) or honest(problem, settings)
    monkeypatch.setattr(measurements, "measure", noted)
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
    options = ["peers=[]", "algorithms=[im2col]", "passes=[forward]", "figures=false"]
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
    options = ["algorithms=[im2col]", "passes=[forward]", "figures=false"]
    status, out, err, found = bench(*options)
    assert status == 0 and err.count("\n") == 1 and err.startswith("no columns of torch: ")
    assert set(found["cases"][small[0]]["passes"]["forward"]) == {"lax", *AUTO, "im2col", "eqx"}
    assert "auto/torch 0" not in out and "auto/eqx" in out


def test_hopeless_algorithms_are_skipped_with_a_reason():
    long = describe((1, 4096, 4), (4096, 1, 4), padding="CAUSAL", groups=4)
    names, skipped = contenders.selected(long, None)
    assert "fft" in names and "im2col" in skipped
    small = describe((64, 16, 16, 4), (3, 3, 4, 4))
    names, skipped = contenders.selected(small, None)
    assert {"im2col", "winograd", "fft"} <= set(names) and "lax" not in names
    assert "times the multiply-adds" in skipped["toeplitz"]
    assert contenders.selected(small, ["fft"])[0] == ["fft"]


def test_the_algorithm_lax_is_what_jax_does_so_it_need_not_be_measured_twice():
    assert REGISTRY["lax"].input_gradient is None and REGISTRY["lax"].kernel_gradient is None


def test_a_forced_algorithm_is_refused(small, bench, monkeypatch):
    monkeypatch.setenv("CNNLAB_CONV", "fft")
    status, _, err, _ = bench()
    assert status == 2 and err.startswith("error: CNNLAB_CONV: ") and err.count("\n") == 1


GEOMETRIES = [
    (((2, 7, 6, 4), (3, 4, 2, 6)), {"groups": 2}),
    (((2, 7, 6, 4), (2, 3, 4, 2)), {"stride": (2, 1), "padding": ((0, 2), (1, 0))}),
    (((2, 9, 2), (3, 2, 2)), {"padding": "CAUSAL", "dilation": 2}),
    (((1, 5, 4, 6, 2), (3, 2, 3, 1, 2)), {"groups": 2, "padding": "VALID"}),
]


@pytest.mark.parametrize(("shapes", "geometry"), GEOMETRIES)
def test_peers_compute_the_same_convolution(shapes, geometry):
    pytest.importorskip("torch", reason="compares with PyTorch")
    [problem] = tiny(shapes, **geometry).values()
    found = contenders.contenders(
        problem, contenders.draw(problem, 0), ["im2col"], ["eqx", "torch"]
    )
    assert ("torch channels-last" in found) == (problem.rank > 1)
    for which in contenders.PASSES:
        reference = found["lax"].result(which)
        assert [a.shape for a in reference] == [
            problem.y_shape, problem.x_shape, problem.kernel_shape
        ][: len(reference)]  # fmt: skip
        for name, contender in found.items():
            assert contenders.error(contender.result(which), reference) < 1e-5, name


def test_crossover():
    direct = {1: 1.0, 4: 4.0, 16: 16.0, 64: 64.0}
    size, seconds = report.crossover(direct, dict.fromkeys(direct, 8.0))
    assert (size, seconds) == (pytest.approx(8), pytest.approx(8))
    assert report.crossover(direct, dict.fromkeys(direct, 0.5)) is None
    assert report.crossover(direct, dict.fromkeys(direct, 100.0)) is None
    assert report.crossover({}, {}) is None


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
