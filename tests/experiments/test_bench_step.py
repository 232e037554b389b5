"""The training-step benchmark and the doctor: what they check, print and keep."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnlab.bench import steps
from cnnlab.ops.native import ENGINE
from experiments import bench_step, doctor

ROOT = Path(__file__).parents[2]
TINY = ["plan=[4,M,6]", "shape=[6,6,2]", "batch_size=3", "seconds=0.001"]


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """The command with its overrides: its exit status, what it said and its JSON."""

    def run(*overrides):
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # it sets this, and tests leave no trace
        monkeypatch.setattr(sys, "argv", ["bench", *TINY, f"output={tmp_path}", *overrides])
        status = 0
        try:
            bench_step.main()
        except SystemExit as stop:
            status = stop.code
        path = tmp_path / "bench_step.json"
        return status, *capsys.readouterr(), json.loads(path.read_text()) if path.exists() else None

    return run


def ours():
    return {"cnnlab"} | ({"cnnlab, no engine"} if ENGINE.refusal() is None else set())


def test_all_steps_are_of_one_network(bench):
    """The first loss, and the second, which the first step's gradients decide."""
    status, out, err, found = bench("peers=[eqx]")
    assert (status, err) == (0, "")
    assert set(found["results"]) == {"float32", "bfloat16"}
    for precision, rows in found["results"].items():
        assert set(rows) == {*ours(), "equinox"}
        first, second = zip(*(row["losses"] for row in rows.values()), strict=True)
        limit = 1e-5 if precision == "float32" else 2e-2
        np.testing.assert_allclose(first, first[0], rtol=limit)
        np.testing.assert_allclose(second, second[0], rtol=limit)
        assert abs(first[0] - second[0]) > 1e-3
        assert all(0 < row["fastest"] <= row["seconds"] for row in rows.values())
    assert out.count("| equinox |") == 2


def test_pytorch_steps_the_same(bench):
    pytest.importorskip("torch", reason="compares with PyTorch")
    job = steps.Job((4, "M", 6), (6, 6, 2), 3, "float32", 0)
    expected = [float(v()) for v in [steps.contenders(job, [])["cnnlab"]] * 3]
    for channels_last in (False, True):
        step = steps._torch(job, channels_last=channels_last)
        np.testing.assert_allclose([step() for _ in range(3)], expected, rtol=1e-5)


def test_a_step_that_does_something_else_is_not_timed(bench, monkeypatch):
    monkeypatch.setattr(steps, "_equinox", lambda job: lambda: 1.0)
    status, out, _, found = bench("peers=[eqx]", "precision=[float32]")
    row = found["results"]["float32"]["equinox"]
    assert status == 0 and row == {"losses": [1.0, 1.0], "agrees": False}
    assert "| equinox | - | other losses: [1.0, 1.0] | - |" in out


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("precision=[float64]", "precision[0]: "),
        ("precision=[]", "precision: expected some of float32, bfloat16, got []"),
        ("peers=[jax]", "peers[0]: "),
        ("plan=[4,-1]", "plan[1]: expected a channel count > 0 or 'M', got -1"),
        ("shape=[6,6]", "shape: expected a list of 3 whole numbers from 1 to 65536, got [6, 6]"),
        ("shape=[7,6,1]", "shape: [7, 6] can't be halved evenly by every M of the plan"),
        ("batch_size=0", "batch_size: expected a whole number from 1 to 1048576, got 0"),
        ("seconds=0", "seconds: expected a number > 0, got 0"),
    ],
)
def test_bad_settings(bench, override, says):
    status, out, err, found = bench(override)
    assert (status, out, found) == (2, "", None)
    assert says in err and err.count("\n") == 1


def test_the_doctor_says_what_is_in_use():
    lines = dict(doctor.report())
    assert lines["devices"] == "2 x cpu (cpu)"
    assert f"jax {__import__('jax').__version__}" in lines["versions"]
    reason = ENGINE.refusal()
    assert lines["native engine"] == ("in use" if reason is None else f"not in use: {reason}")
    if reason is None:
        assert Path(lines["library"]).is_file() and lines["instructions"] == ENGINE.isa()


def test_the_doctor_from_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.doctor"],
        cwd=ROOT,
        env={**os.environ, "CNNLAB_NATIVE": "0"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "native engine:   not in use: turned off by CNNLAB_NATIVE=0\n" in done.stdout
    assert "CNNLAB_NATIVE=0" in done.stdout.splitlines()[-1]
