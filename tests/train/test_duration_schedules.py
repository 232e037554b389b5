"""Durations in steps, and the shapes of the schedules against their formulas."""

import math

import numpy as np
import pytest

from cnnlab.train import schedules
from cnnlab.train.duration import to_steps


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 2, "steps": None}, 40),
        ({"epochs": 0.25}, 5),
        ({"epochs": 0.49}, 10),  # the nearest
        ({"examples": 320}, 10),
        ({"examples": 1}, 1),
    ],
)
def test_units(duration, steps):
    assert to_steps(duration, batch_size=32, steps_per_epoch=20) == steps


@pytest.mark.parametrize(
    ("duration", "message"),
    [
        ({}, "expected exactly one of steps, epochs, examples, got none"),
        ({"steps": 1, "epochs": 2}, "got steps=1, epochs=2"),
        ({"epochs": -1}, r"d\.epochs: expected a number > 0, got -1"),
        ({"epochs": math.nan}, r"d\.epochs: expected a number > 0, got nan"),
        ({"steps": True}, r"d\.steps: expected a number > 0, got True"),
    ],
)
def test_bad_durations(duration, message):
    with pytest.raises(ValueError, match=message):
        to_steps(duration, batch_size=32, steps_per_epoch=20, name="d")


def values(schedule, n):
    return np.array([float(schedule(t)) for t in range(n)])


def test_cosine_with_warmup():
    got = values(schedules.cosine(100, warmup=10, final=0.1), 101)
    t = np.arange(91) / 90
    np.testing.assert_allclose(got[10:], 0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * t)), rtol=1e-5)
    np.testing.assert_allclose(got[:10], np.arange(1, 11) / 11, rtol=1e-5)


def test_onecycle_is_a_triangle():
    got = values(schedules.onecycle(100, peak=0.2, start=0.1, final=0.0), 101)
    expected = np.interp(np.arange(101), [0, 20, 100], [0.1, 1.0, 0.0])
    np.testing.assert_allclose(got, expected, atol=1e-6)
    no_rise = values(schedules.onecycle(10, peak=0.0), 11)
    np.testing.assert_allclose(no_rise, np.linspace(1, 0, 11), atol=1e-6)
    no_fall = values(schedules.onecycle(10, peak=1.0, start=0.1), 10)
    np.testing.assert_allclose(no_fall, np.linspace(0.1, 1, 10), atol=1e-6)


def test_step_and_constant():
    got = values(schedules.step(100, milestones=(0.5, 0.75), factor=0.1), 100)
    expected = np.where(np.arange(100) < 50, 1, np.where(np.arange(100) < 75, 0.1, 0.01))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    warmed = values(schedules.step(100, milestones=(0.5,), factor=0.1, warmup=10), 100)
    np.testing.assert_allclose(warmed[10:], np.where(np.arange(10, 100) < 50, 1, 0.1), rtol=1e-5)
    np.testing.assert_allclose(values(schedules.constant(10, warmup=4), 10)[4:], 1.0)


def test_milestones_on_one_step_all_count():
    got = values(schedules.step(2, milestones=(0.5, 0.75), factor=0.1), 3)
    np.testing.assert_allclose(got, [1, 0.01, 0.01], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.cosine(10, warmup=10), "^warmup: expected fewer steps"),
        (lambda: schedules.cosine(10, final=2.0), "^final: expected a factor"),
        (lambda: schedules.onecycle(10, peak=1.5), "^peak: expected a fraction"),
        (lambda: schedules.step(10, milestones=(0.5, 1.0)), r"^milestones\[1\]: expected"),
    ],
)
def test_bad_schedules(make, message):
    with pytest.raises(ValueError, match=message):
        make()
