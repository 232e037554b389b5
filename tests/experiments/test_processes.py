"""What only a process shows: a kill, what a help imports, what comes on standard error."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from commands import ROOT, SMALLER, TINY, command

from cnnlab.train.checkpoint import read

LONGER = [*TINY[:-1], "steps=400", "checkpoint_every.steps=4", "evaluate_every.epochs=20"]


def _reached(folder, step):
    if step == 0:
        return any(folder.glob("train/*/metrics.jsonl"))
    steps = [int(path.stem.split("-")[1]) for path in folder.glob("train/*/checkpoints/step-*")]
    return max(steps, default=0) >= step


def test_a_run_killed_twice_resumes_to_the_bit(tmp_path, call):
    call("train", *LONGER, f"output={tmp_path / 'uninterrupted'}")
    [uninterrupted] = tmp_path.glob("uninterrupted/train/*")
    arguments = [*LONGER, f"output={tmp_path}"]
    # Killed as soon as it has begun (0), or has written a checkpoint of such a step or a later one.
    for upto in (0, 100):
        process = command("train", *arguments)
        while process.poll() is None and not _reached(tmp_path, upto):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    call("train", *arguments)
    [directory] = tmp_path.glob("train/*")
    expected = read(max((uninterrupted / "checkpoints").glob("step-*")))[0]
    got = read(max((directory / "checkpoints").glob("step-*")))[0]
    assert got.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


@pytest.mark.parametrize("module", ["train", "evaluate", "predict", "finetune"])
def test_help_answers_without_jax(module):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"experiments.{module}", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert f"python -m experiments.{module}" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "hydra" in imported and not imported & {"jax", "equinox", "tensorflow_datasets"}


def test_import_is_lazy():
    script = "import sys, cnnlab; assert 'jax' not in sys.modules; cnnlab.ops; import jax"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


# As on a processor with AVX-512, whose compiled programs XLA finds fault with when it reads them.
AVX512 = """
import runpy, sys
from cnnlab.jax_internals import compilation_cache as cache
combine = cache.combine_executable_and_time
cache.combine_executable_and_time = lambda program, time: combine(
    program.replace(b"-avx512f,", b"+avx512f,"), time
)
runpy.run_module("experiments.train", run_name="__main__")
"""


def test_nothing_but_our_own_lines_on_a_cold_and_on_a_warm_cache(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment |= {"JAX_NUM_CPU_DEVICES": "1", "CNNLAB_NATIVE": "0"}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    command = [sys.executable, "-c", AVX512, *SMALLER, "steps=2", f"output={tmp_path}"]
    said = []
    for more in ([], ["force=true"]):
        done = subprocess.run(
            [*command, *more], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        said.append([line.partition(" ")[0] for line in done.stderr.splitlines()])
    assert said == [["data", "2"]] * 2
    assert list((tmp_path / "cache").rglob("*-cache"))
