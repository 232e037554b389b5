"""The command line as a process: exit status, one line, how soon it answers, what it leaves."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cnnlab

TASK = Path(__file__).parent / "task.py"
ROOT = Path(cnnlab.__file__).parents[1]


@pytest.fixture
def run(configs, tmp_path):
    """Runs `python task.py` in an empty folder."""

    def call(*arguments, **environment):
        clean = {k: v for k, v in os.environ.items() if k != "HYDRA_FULL_ERROR"}
        environment = {**clean, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **environment}
        command = [sys.executable, str(TASK), str(configs), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )

    return call


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["optimzer.momentum=1"], 2, "optimzer.momentum: no such key; did you mean optimizer.mom"),
        (["-m", "seed=1,five"], 2, "seed: expected a number or null, got 'five'"),
        (["seed=94"], 130, "interrupted"),
    ],
)
def test_one_line_and_an_exit_status(run, tmp_path, arguments, status, message):
    done = run(*arguments)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_and_full_errors(run, tmp_path):
    done = run("seed=1")
    assert (done.returncode, done.stderr) == (0, "")  # jax was not imported either
    assert '"seed": 1' in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = run("sed=1", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "cnnlab.errors.ConfigError: sed: no such key" in done.stderr


@pytest.mark.parametrize("flags", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_answers_soon_and_without_jax(run, flags):
    before = os.times()
    start = time.perf_counter()
    done = run(*flags)
    wall = time.perf_counter() - start
    after = os.times()
    assert (done.returncode, done.stderr) == (0, "")
    assert "batch_size" in done.stdout
    # Processor time, which other work on the machine does not count in; the wall's is looser.
    cpu = sum(after[2:4]) - sum(before[2:4])
    assert cpu < 2.0
    assert wall < 10.0


def test_info_and_hydras_help(run, tmp_path):
    done = run("--info", "defaults", "backbone=mlp")
    assert (done.returncode, done.stderr) == (0, "")
    assert "backbone/mlp" in done.stdout
    done = run("--hydra-help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Hydra" in done.stdout
    assert list(tmp_path.iterdir()) == []
