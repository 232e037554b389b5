"""Settings without effect: refused where they can have none, said where this run has none."""

import numpy as np
import pytest

from cnnlab.data.augment import Flip, Mixup
from cnnlab.errors import ConfigError
from cnnlab.train.effects import check_effects, remarks
from cnnlab.train.loop import Plan

CONFIG = {
    "accumulate": 1,
    "select": "last",
    "profile": None,
    "batch_size": 8,
    "backbone": {"_target_": "cnnlab.models.VGG", "kernel_size": 3},
    "conv": {"_target_": "cnnlab.nn.factories.dense"},
}


def plan(steps=10, evaluate=5, patience=None):
    return Plan(steps, log_every=1, evaluate_every=evaluate, checkpoint_every=5, patience=patience)


@pytest.mark.parametrize(
    ("changes", "plan", "validation", "message"),
    [
        ({"accumulate": 11}, plan(), 4, "^accumulate: expected at most the run's 10 batches"),
        ({"select": "best"}, plan(), 0, "^select: expected validation examples"),
        ({}, plan(patience=1), 0, "^patience: expected validation examples"),
        ({"select": "best"}, plan(evaluate=None), 4, "^select: expected evaluations"),
        ({}, plan(evaluate=None, patience=1), 4, "^patience: expected evaluations"),
        ({"profile": {"start": 11, "steps": 2}}, plan(), 4, "^profile.start: expected one of the"),
        ({"batch_size": 1}, plan(), 4, "^batch_size: expected 2 or more"),
    ],
)
def test_what_can_have_no_effect_is_refused(changes, plan, validation, message):
    mixing = (Flip(), Mixup())
    with pytest.raises(ValueError, match=message):
        check_effects({**CONFIG, **changes}, plan, mixing, validation=validation)


def test_what_has_one_is_taken():
    config = {**CONFIG, "select": "best", "accumulate": 10, "profile": {"start": 10, "steps": 1}}
    check_effects(config, plan(patience=1), (Flip(), Mixup()), validation=4)
    check_effects({**CONFIG, "batch_size": 1}, plan(), (Flip(),), validation=0)
    assert remarks(config, plan(patience=1), resident=True, workers=0) == []


def test_what_has_none_in_this_run_is_said():
    config = {**CONFIG, "select": "best"}
    said = remarks(config, plan(evaluate=10, patience=1), resident=True, workers=2)
    assert [line.split()[0] for line in said] == ["patience=1", "select=best", "data.workers=2"]


@pytest.mark.parametrize("conv", ["dense", "long", "pointwise", "fully_connected"])
def test_a_kernel_size_that_the_convolution_does_not_use_is_said(conv):
    config = {**CONFIG, "conv": {"_target_": f"cnnlab.nn.factories.{conv}"}}
    wide = {**config, "backbone": {"kernel_size": 5}}
    expected = f"backbone.kernel_size=5 changes nothing: conv={conv} does not use it"
    for given, lines in ((config, []), (wide, [] if conv == "dense" else [expected])):
        assert remarks(given, plan(), resident=True, workers=0) == lines


def test_a_config_is_refused_before_work(tiny):
    with pytest.raises(ConfigError, match=r"^accumulate: expected at most the run's 2 batches"):
        tiny("epochs=null", "steps=2", "accumulate=16")


def test_a_run_uses_what_accumulation_leaves_over(tiny):
    """Three batches by twos: the update of the third alone is the one that is made last."""
    at = {}
    for steps in (2, 3):
        short = tiny("epochs=null", f"steps={steps}", "accumulate=2", "schedule=constant")
        short.run()
        at[steps] = short.trained()[0].head.linear.weight
    assert not np.array_equal(at[2], at[3])
