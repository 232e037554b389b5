"""A command in a process of its own, and a run that is over soon."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = [
    "optimizer=sgd",
    "data=fake",
    "data.shape=[8,8,1]",
    "data.train_size=160",
    "data.test_size=40",
    "backbone.plan=[4,M,6]",
    "augment=[flip]",
    "batch_size=16",
    "progress=false",
    "epochs=3",
]
SMALLER = [*TINY[:-1], "backbone.plan=[4]", "norm=none", "augment=[]", "steps=1"]


ENVIRONMENT = {**os.environ, "JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}


def command(module, *arguments, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{module}", *arguments],
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


def run(module, *arguments, status=0, **kwargs):
    process = command(module, *arguments, **kwargs)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err
