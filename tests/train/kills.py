"""Kills one process of a run at a random moment, again and again, and goes on with the run.

    python tests/train/kills.py MINUTES [SEED]

Each time 4, 2 or 1 processes go on from what the last ones left. A run that has come to its end has
to be the one that nobody disturbed: each step logged once, with its loss to 1e-5 (in 400 steps sums
in another order drift by 1e-6, where the network has no kinks; other examples, one twice or one
left out would be another loss), the last checkpoint's arrays alike; a run is never further back
than the checkpoint that was there. After each kill all processes have to be gone within a minute,
with one line of error that names the one that was killed. Not part of the suite, as it takes as
long as it is given.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cnnlab.train.checkpoint import read

ROOT = Path(__file__).parents[2]
COMMAND = [
    *(sys.executable, "-m", "experiments.train", "runtime=shard", "optimizer=sgd"),
    *("data=fake", "data.shape=[8,8,1]", "data.train_size=160", "data.test_size=40"),
    *("backbone.plan=[4,M,6]", "backbone.activation=gelu", "backbone.pool=avg"),
    *("backbone.dropout=0.1", "augment=[crop,mixup]", "batch_size=16"),
    *("steps=400", "checkpoint_every.steps=10", "evaluate_every.steps=50", "log_every.steps=1"),
    *("progress=false", "average=0.9"),
]
NUMBERS = (4, 2, 1)
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "JAX_NUM_CPU_DEVICES": "1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}


def begin(folder, number):
    launch = [] if number == 1 else [f"runtime.launch={number}"]
    return subprocess.Popen(
        [*COMMAND, f"output={folder}", *launch],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def processes(run, number):
    """The process ids of a run; of a launched one, of what it has started."""
    if number == 1:
        return [run.pid]
    return [int(p) for p in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]


def kept(folder):
    """The newest step that is kept."""
    steps = [int(p.stem.split("-")[1]) for p in folder.glob("train/*/checkpoints/step-*.s*")]
    return max(steps, default=0)


def losses(folder):
    [file] = folder.glob("train/*/metrics.jsonl")
    records = [json.loads(line) for line in file.read_text().splitlines()]
    return [(r["step"], r["kind"], r["loss"]) for r in records]


def check_end(folder, expected):
    got, want = losses(folder), losses(expected)
    assert [r[:2] for r in got] == [r[:2] for r in want]
    np.testing.assert_allclose([r[2] for r in got], [r[2] for r in want], rtol=1e-5)
    last = lambda of: read(max(of.glob("train/*/checkpoints/step-*")))[0]
    arrays = last(expected)
    for name, value in last(folder).items():
        np.testing.assert_allclose(value, arrays[name], rtol=1e-5, atol=1e-5, err_msg=name)


def check_killed(number, victim, errors, seconds):
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    others = [
        line
        for line in errors.splitlines()
        if not line.startswith(("data ", "400 steps", "resuming", "error: ", "note: ", "warning: "))
    ]
    assert seconds < 60 and not others, (seconds, errors)
    if number > 1:
        assert len(lines) == 1 and re.search(rf"process {victim} of {number}\b", lines[0]), errors


def main(minutes, seed):
    draw = random.Random(seed)
    until = time.monotonic() + 60 * minutes
    kills = ends = early = 0
    with tempfile.TemporaryDirectory() as name:
        expected, folder = Path(name, "expected"), Path(name, "run")
        started = time.monotonic()
        run = begin(expected, 1)
        assert run.wait() == 0, run.stderr.read()
        length = time.monotonic() - started
        while time.monotonic() < until:
            number = draw.choice(NUMBERS)
            before = kept(folder)
            run = begin(folder, number)
            moment = time.monotonic() + draw.uniform(0.5, 1.5 * length)
            while run.poll() is None and time.monotonic() < moment:
                time.sleep(0.02)
            there = processes(run, number) if run.poll() is None else []
            if len(there) == number:
                victim = draw.randrange(number)
                killed = time.monotonic()
                os.kill(there[victim], signal.SIGKILL)
                errors = run.communicate(timeout=120)[1]
                if run.returncode:
                    kills += 1
                    early += kept(folder) == 0
                    check_killed(number, victim, errors, time.monotonic() - killed)
                    assert not any(Path(f"/proc/{p}").exists() for p in there)
            else:
                errors = run.communicate()[1]
                assert run.returncode == 0, errors
            after = kept(folder)
            assert after >= before
            print(f"{number} processes: step {before} to {after}, {kills} kills", flush=True)
            if run.returncode == 0:
                check_end(folder, expected)
                ends += 1
                shutil.rmtree(folder)
        if folder.exists():
            run = begin(folder, 1)
            assert run.communicate()[1] is not None and run.returncode == 0
            check_end(folder, expected)
            ends += 1
    print(f"{kills} kills, {early} of them before the first checkpoint; {ends} runs, each as one "
          "that nobody disturbed")  # fmt: skip


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
