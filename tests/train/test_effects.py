"""Settings without effect: refused where they can have none, said where this run has none."""

import numpy as np
import pytest

from cnnlab.data.augment import Flip, Mixup
from cnnlab.errors import ConfigError
from cnnlab.train.effects import check_effects, remarks
from cnnlab.train.settings import Settings, TracedSteps
from cnnlab.train.tasks import Classification

CLASSES = Classification(("a", "b"))
PLACED = {"resident": True, "workers": 0, "kernel_size": None, "conv": "dense"}


def settings(**changes):
    return Settings(**{"steps": 10, "batch_size": 8, "evaluate_every": 5, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accumulate": 11}, "accumulate: expected at most the run's 10 batches"),
        ({"select": "best", "evaluate_every": None}, "select: expected evaluations"),
        ({"patience": 1, "evaluate_every": None}, "patience: expected evaluations"),
        ({"patience": 0}, "patience: expected evaluations >= 1 or null, got 0"),
        ({"profile": TracedSteps(11, 2)}, "profile.start: expected one of the run's 10 steps"),
        ({"average": 1.0}, "average: expected a number >= 0 and < 1, got 1.0"),
        ({"select": "first"}, "select: expected one of 'last', 'best', got 'first'"),
        ({"steps": 2.5}, "steps: expected a whole number, got 2.5"),
        ({"profile": 5}, "profile: expected a TracedSteps or None, got 5"),
    ],
)
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        settings(**changes)


def test_the_first_step_is_not_traced():
    with pytest.raises(ValueError, match=r"^profile.start: expected an int >= 2, got 1"):
        TracedSteps(1, 2)


@pytest.mark.parametrize(
    ("changes", "validation", "message"),
    [
        ({"select": "best"}, 0, "select: expected validation examples"),
        ({"patience": 1}, 0, "patience: expected validation examples"),
        ({"batch_size": 1}, 4, "batch_size: expected 2 or more"),
    ],
)
def test_what_can_have_no_effect_is_refused(changes, validation, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_effects(settings(**changes), (Flip(), Mixup()), task=CLASSES, validation=validation)


def test_what_has_one_is_taken():
    asked = settings(select="best", accumulate=10, profile=TracedSteps(10, 1), patience=1)
    check_effects(asked, (Flip(), Mixup()), task=CLASSES, validation=4)
    check_effects(settings(batch_size=1), (Flip(),), task=CLASSES, validation=0)
    assert remarks(asked, **PLACED) == []


def test_what_has_none_in_this_run_is_said():
    asked = settings(select="best", evaluate_every=10, patience=1)
    said = remarks(asked, **{**PLACED, "workers": 2})
    assert [line.split()[0] for line in said] == ["patience=1", "select=best", "data.workers=2"]


@pytest.mark.parametrize("conv", ["dense", "long", "pointwise", "fully_connected"])
def test_a_kernel_size_that_the_convolution_does_not_use_is_said(conv):
    for size in (None, 3, 5, [5, 5]):
        line = f"backbone.kernel_size={size} changes nothing: conv={conv} does not use it"
        expected = [] if conv == "dense" or size in (None, 3) else [line]
        assert remarks(settings(), **{**PLACED, "kernel_size": size, "conv": conv}) == expected


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
