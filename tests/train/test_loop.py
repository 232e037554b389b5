"""The loop: exact resume, one compilation, early stop, NaN, interrupt, records."""

import os
import signal
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from cnnlab.errors import Interrupted
from cnnlab.train import NonFiniteLoss, loop
from cnnlab.train.checkpoint import read
from cnnlab.train.metrics import read_lines


def timeless(path):
    return [{k: v for k, v in r.items() if k != "images_per_second"} for r in read_lines(path)]


def final(experiment):
    return read(max(experiment.directory.checkpoints.glob("step-*")))[0]


def test_result_and_records(uninterrupted):
    experiment, result = uninterrupted
    records = timeless(experiment.directory.metrics)
    assert result["steps"] == 12 and result["test_examples"] == 40
    assert [r["step"] for r in records if r["kind"] == "train"] == [2, 4, 6, 8, 10, 12]
    assert [r["step"] for r in records if r["kind"] == "val"] == [3, 6, 9, 12]
    assert all(np.isfinite(r["grad_norm"]) for r in records if r["kind"] == "train")


@pytest.mark.parametrize("stop_at", [1, 6, 12])
def test_resume_repeats_an_uninterrupted_run_to_the_bit(uninterrupted, tiny, stop_at):
    whole, result = uninterrupted
    first = tiny("average=0.9")
    run = _signal_at(first, stop_at)
    with pytest.raises(Interrupted, match=f"stopped at step {stop_at} of 12"):
        run()
    assert not first.directory.complete()
    second = tiny("average=0.9")
    again = second.run()
    assert again["test_accuracy"] == result["test_accuracy"]
    assert again["test_loss"] == result["test_loss"]
    assert timeless(second.directory.metrics) == timeless(whole.directory.metrics)
    arrays, resumed = final(whole), final(second)
    assert resumed.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(resumed[name], arrays[name], err_msg=name)


def test_ctrl_c_after_the_last_step(tiny, monkeypatch):
    """While its checkpoint is written: what is left of the run is not begun."""
    save = loop.Loop._save

    def pressed(self):
        save(self)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop.Loop, "_save", pressed)
    with pytest.raises(Interrupted, match="stopped at step 3 of 3; the same command goes on"):
        tiny("epochs=1").run()
    monkeypatch.undo()
    assert tiny("epochs=1").run()["steps"] == 3


def _signal_at(experiment, step):
    """The experiment's run, with a SIGINT before its step number `step`."""
    handles = experiment.train_loader.handles

    def interrupting(start=0):
        for i, handle in enumerate(handles(start), start + 1):
            if i == step:
                os.kill(os.getpid(), signal.SIGINT)
            yield handle

    experiment.train_loader.handles = interrupting
    return experiment.run


def test_images_per_second_counts_the_steps_and_no_pause(tiny, monkeypatch):
    """On a clock on which a step takes a second, once it is waited for, and an evaluation 100."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    get, evaluate = jax.device_get, loop.Loop._evaluate

    def wait(pending):
        now[0] += len(pending) if isinstance(pending, list) else 0
        return get(pending)

    def slow(self, step):
        now[0] += 100
        evaluate(self, step)

    monkeypatch.setattr(jax, "device_get", wait)
    monkeypatch.setattr(loop.Loop, "_evaluate", slow)
    experiment = tiny()
    experiment.run()
    records = read_lines(experiment.directory.metrics)
    rates = [r["images_per_second"] for r in records if r["kind"] == "train"]
    assert rates == [experiment.train_loader.batch_size] * 6


def test_a_complete_run_is_not_run_again_unless_forced_to_the_same_numbers(tiny):
    first = tiny("epochs=1")
    result = first.run()
    before = first.directory.result.stat().st_mtime_ns
    assert tiny("epochs=1").run() == result
    assert first.directory.result.stat().st_mtime_ns == before
    forced = tiny("epochs=1", "force=true")
    assert forced.directory.path == first.directory.path
    again = forced.run()
    assert again["test_loss"] == result["test_loss"]
    assert tiny("epochs=1", "seed=1").run()["test_loss"] != result["test_loss"]
    assert first.directory.result.stat().st_mtime_ns > before


def test_nan_stops_the_run_and_names_the_step(tiny):
    experiment = tiny("optimizer.lr=1e30", "norm=none", "log_every.steps=4")
    with pytest.raises(
        NonFiniteLoss,
        match=r"is (nan|inf) at step [123]; last good",
    ):
        experiment.run()
    assert not experiment.directory.complete()
    assert not list(experiment.directory.checkpoints.glob("step-*"))


def test_nan_keeps_the_last_good_checkpoint(tiny):
    experiment = tiny("checkpoint_every.steps=2")
    prepare = experiment.prepare

    def spoiled(raw, key, step):
        batch = prepare(raw, key, step)
        return batch._replace(image=batch.image * jax.numpy.where(step == 6, jax.numpy.nan, 1.0))

    experiment.prepare = spoiled
    with pytest.raises(NonFiniteLoss, match=r"nan at step 7; .*step-000000006"):
        experiment.run()
    kept = sorted(experiment.directory.checkpoints.glob("step-*"))
    assert [p.name for p in kept] == ["step-000000004.safetensors", "step-000000006.safetensors"]
    assert all(np.isfinite(v).all() for v in read(kept[-1])[0].values())


def test_early_stop_tests_the_best(tiny):
    experiment = tiny("optimizer.lr=1e-12", "patience=2", "select=best", "epochs=50")
    result = experiment.run()
    assert result["stopped_early"]
    validations = [r["step"] for r in timeless(experiment.directory.metrics) if r["kind"] == "val"]
    assert len(validations) < 50
    assert result["steps"] == validations[-1]
    assert result["tested_step"] == validations[-3]


def test_a_step_that_is_traced_twice_is_an_error(tiny):
    experiment = tiny()
    handles = experiment.train_loader.handles

    def changing(start=0):
        for i, handle in enumerate(handles(start)):
            yield handle if i < 2 else handle[:12]

    experiment.train_loader.handles = changing
    with pytest.raises(RuntimeError, match="traced"):
        experiment.run()


def test_two_processes_do_not_share_a_directory(tiny):
    experiment = tiny()
    with experiment.directory.lock(), pytest.raises(Exception, match="another process"):
        tiny().run()
