"""jit, pmap and shard_map give the same loss curve on one and two devices."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from sent import sent

from cnnlab.config import build, compose
from cnnlab.models import count_parameters
from cnnlab.train import Runtime, Shard
from cnnlab.train.interrupt import Vote
from cnnlab.train.processes import Processes
from cnnlab.train.sharding import cut
from cnnlab.train.step import make_train_step

ROOT = Path(__file__).parents[2]
BASE = [
    "data=fake",
    "data.shape=[8,8,1]",
    "data.train_size=256",
    "data.test_size=64",
    "backbone.plan=[8,M]",
    "backbone.dropout=0.1",
    "augment=[crop,mixup]",
    "batch_size=32",
    "steps=20",
    "optimizer=sgd",
    "optimizer.lr=0.05",
    "average=0.9",
]
NORMS = ["backbone.plan=[8,M,16]", "augment=[]"]  # two of them


def begin(runtime, devices, *more):
    """An experiment, its state, the compiled step, and the step's arguments but the batch."""
    overrides = [f"runtime={runtime}", *more]
    if runtime != "jit":
        overrides.append(f"runtime.devices={devices}")
    experiment = build(compose(BASE + overrides))
    state = experiment.initial_state()
    loader, run = experiment.train_loader, experiment.runtime
    assert len(run.devices) == devices
    step = make_train_step(experiment.optimizer, average_decay=experiment.settings.average)
    compiled = run.compile(step, experiment.prepare, loader.fetch, state)
    return experiment, state, compiled, run.place(state), run.replicate(loader.resident)


def curve(runtime, devices, *more):
    """Each step's metrics, and the state after the last one."""
    experiment, state, compiled, arrays, resident = begin(runtime, devices, *more)
    losses = []
    for _, handle in zip(range(20), experiment.train_loader.handles(), strict=False):
        arrays, metrics = compiled(arrays, resident, handle)
        losses.append({k: float(v) for k, v in metrics.items()})
    return losses, experiment.runtime.fetch(arrays, state), experiment


def evaluated(experiment, state):
    return experiment.evaluator(experiment.data.test)(*state.averaged()).answers


@pytest.fixture(scope="module")
def reference():
    return curve("jit", 1)


@pytest.mark.parametrize("runtime", ["pmap", "shard", "shard runtime.shard_state=true"])
def test_two_devices_give_the_curve_of_one(runtime, reference, monkeypatch):
    assert len(jax.devices()) >= 2
    monkeypatch.setattr("cnnlab.train.sharding._SMALL", 16)
    expected, expected_state, alone = reference
    name, *more = runtime.split()
    losses, state, experiment = curve(name, 2, *more)
    kernels = [x for x in jax.tree.leaves(state.opt_state) if getattr(x, "ndim", 0) == 4]
    held = {x.addressable_shards[0].data.size / x.size for x in kernels}
    assert held == {0.5 if more else 1.0}
    for name in ("loss", "accuracy", "grad_norm", "update_norm", "param_norm"):
        np.testing.assert_allclose(
            [m[name] for m in losses], [m[name] for m in expected], rtol=1e-5, err_msg=name
        )
    assert int(state.step) == 20
    for a, b in zip(
        jax.tree.leaves(state.averaged()), jax.tree.leaves(expected_state.averaged()), strict=True
    ):
        if hasattr(a, "dtype"):
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        evaluated(experiment, state), evaluated(alone, expected_state), rtol=1e-3, atol=1e-5
    )
    assert losses[0]["loss"] > losses[-1]["loss"]


# In a process of its own: how many devices there are is settled before jax begins.
EIGHT = """
import json
from cnnlab.train import sharding
from test_parallel import NORMS, curve
sharding._SMALL = 16
cut = "runtime.shard_state=true"
print(json.dumps([curve("shard", 8, *NORMS)[0], curve("shard", 8, *NORMS, cut)[0]]))
"""


def test_eight_devices_give_the_losses_of_one():
    done = subprocess.run(
        [sys.executable, "-c", EIGHT],
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": str(ROOT)},
        cwd=ROOT / "tests/train",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    expected = curve("jit", 1, *NORMS)[0]
    for name in ("loss", "grad_norm"):
        one = [m[name] for m in expected]
        for eight in json.loads(done.stdout):
            np.testing.assert_allclose([m[name] for m in eight], one, rtol=1e-6, err_msg=name)


def test_a_norm_waits_for_the_other_devices_once_forward_and_once_back():
    experiment, _, compiled, *arguments = begin("shard", 2, *NORMS)
    handle = next(iter(experiment.train_loader.handles()))
    program = compiled.lower(*arguments, handle).compile().as_text()
    gradients_and_metrics = 1
    assert program.count(" all-reduce(") == 2 * 2 + gradients_and_metrics
    # docs/scale/efficiency.md: means and variances of both devices forward, two sums backward.
    parameters, channels = count_parameters(experiment.model), 8 + 16
    numbers = parameters + 2 * channels * (2 + 1) + len(("loss", "accuracy"))
    assert sent(program) == {"all-reduce": 4 * numbers}


def test_batch_that_devices_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"^batch_size: expected a multiple of the 2 devices"):
        build(compose([*BASE, "runtime=shard", "runtime.devices=2", "batch_size=33"]))


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"^runtime\.devices: expected at most"):
        build(compose([*BASE, "runtime=pmap", "runtime.devices=64"]))


@pytest.mark.parametrize(
    ("shape", "devices", "axes"),
    [
        ((3, 3, 64, 128), 8, (None, None, None, "data")),
        ((3, 3, 128, 64), 8, (None, None, "data")),
        ((4096, 1000), 8, ("data",)),
        ((4096, 4096), 512, (None, "data")),
        ((25088, 4096), 512, ("data",)),
        ((3, 3, 3, 50), 8, ()),  # nothing that 8 divide
        ((64,), 8, ()),  # too small to be worth a message
    ],
)
def test_the_longest_axis_that_the_devices_divide_is_cut(shape, devices, axes):
    assert cut(shape, devices) == P(*axes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"processes": 2}, "process: expected this one's number, from 0 to 1, got None"),
        ({"processes": 2, "process": 2}, "process: expected this one's number, from 0 to 1, got 2"),
        ({"process": 1}, "process: expected processes=... with it, got 1 alone"),
        ({"coordinator": "a:1", "process": 0}, "processes: expected how many there are"),
        ({"processes": 2, "process": 0}, "coordinator: expected host:port, .* got None"),
        ({"processes": 2, "process": 0, "coordinator": "a"}, "coordinator: expected host:port"),
        ({"processes": 2, "process": 0, "coordinator": "a:b"}, "coordinator: expected host:port"),
        ({"processes": 2, "process": 0, "coordinator": "a:1"}, "processes: jax has begun"),
        ({"processes": "auto"}, "processes: auto found no SLURM"),
        ({"processes": "auto", "process": 1}, "process: expected null, as processes=auto finds it"),
        ({"launch": 2}, "launch: expected null"),
    ],
)
def test_processes_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Shard(**arguments)


class Elsewhere(Runtime):
    """A runtime of two processes, of which the other one is asked to stop at its step `at`."""

    processes = Processes(0, 2)

    def __init__(self, at):
        self.at, self.asked = at, 0

    def compile(self, *arguments):
        raise NotImplementedError

    def any(self, flag):
        self.asked += 1
        return np.asarray(flag or self.asked == self.at)


def test_all_processes_stop_at_the_same_step():
    here, there = Vote(Elsewhere(math.inf)), Vote(Elsewhere(4))
    own = [here.after_step(asked=step == 4) for step in range(1, 8)]
    other = [there.after_step(asked=False) for step in range(1, 8)]
    assert own == other == [step == 6 for step in range(1, 8)]
    assert not here.at_end(asked=False)
    assert Vote(Elsewhere(1)).at_end(asked=False)
    alone = Vote(None)
    assert alone.after_step(asked=True) and not alone.at_end(asked=False)
