"""What only a process shows: a kill, what a help imports, what comes on standard error."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from commands import ENVIRONMENT, ROOT, SMALLER, TINY

from cnnlab.train.checkpoint import read

STEPS = [*TINY[:-1], "steps=24", "checkpoint_every.steps=4"]
# Ends at once, as what it has written is about to take the place of a file of this name.
KILLED = """
import os, runpy, signal, sys
name = sys.argv.pop(1)
def at(event, arguments):
    if event == "os.rename" and os.path.basename(arguments[1]).startswith(name):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(at)
runpy.run_module("experiments.train", run_name="__main__")
"""


def test_a_run_killed_twice_resumes_to_the_bit(tmp_path, call):
    call("train", *STEPS, f"output={tmp_path / 'uninterrupted'}")
    [uninterrupted] = tmp_path.glob("uninterrupted/train/*")
    arguments = [*STEPS, f"output={tmp_path}"]
    for step, left in ((4, []), (16, [8, 12])):
        program = [sys.executable, "-c", KILLED, f"step-{step:09}", *arguments]
        done = subprocess.run(program, env=ENVIRONMENT, capture_output=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
        checkpoints = tmp_path.glob("train/*/checkpoints/step-*")
        assert sorted(int(path.stem.split("-")[1]) for path in checkpoints) == left
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
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # kept, however fast
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
