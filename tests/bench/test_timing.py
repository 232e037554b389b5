"""Functions take turns, and no function is called too rarely. Nothing here waits for a clock."""

import jax.numpy as jnp
import pytest

from cnnlab.bench.timing import interleaved, median


class Bench:
    """Functions that take a given time by a clock of their own, and note who was called when."""

    def __init__(self, **durations):
        self.now = 0.0
        self.calls = []
        self.functions = {name: self.make(name, d) for name, d in durations.items()}

    def make(self, name, duration):
        def call():
            self.calls.append(name)
            self.now += duration
            return {"result": jnp.ones(3), "other": None}

        return call

    def run(self, **options):
        return interleaved(self.functions, clock=lambda: self.now, **options)


@pytest.mark.parametrize("seconds", [0.1, 1000.0])
def test_all_take_turns_and_every_call_is_timed_alone(seconds):
    bench = Bench(a=0.25, b=0.5, c=0.125)
    times = bench.run(seconds=seconds, least=4, most=4)
    assert times == {"a": [0.25] * 4, "b": [0.5] * 4, "c": [0.125] * 4}
    assert len(bench.calls) == 3 * (1 + 4)  # one to warm up
    for start in range(0, 15, 3):
        assert sorted(bench.calls[start : start + 3]) == ["a", "b", "c"]


@pytest.mark.parametrize("seconds", [0.1, 1000.0])
def test_no_function_always_follows_the_same_one(seconds):
    bench = Bench(a=1.0, b=1.0, c=1.0)
    bench.run(seconds=seconds, least=20, most=20)
    before = {p for p, name in zip(bench.calls, bench.calls[1:], strict=False) if name == "a"}
    assert before >= {"b", "c"}


def test_slow_functions_are_called_less_often_but_spread_over_the_whole():
    bench = Bench(slow=4.0, middle=0.25, fast=2**-10)
    times = bench.run(seconds=4.0, least=3, most=50)
    assert {name: len(t) for name, t in times.items()} == {"slow": 3, "middle": 16, "fast": 50}
    places = [i / len(bench.calls) for i, name in enumerate(bench.calls) if name == "slow"]
    assert places[0] < 0.1 and places[-1] > 0.9 and 0.3 < places[2] < 0.7


def test_one_disturbed_call_does_not_make_the_others_rare():
    bench = Bench()
    durations = iter([1.0, 0.5, *[0.0625] * 50])

    def disturbed():
        bench.now += next(durations)

    bench.functions["a"] = disturbed
    times = bench.run(seconds=2.0, least=3, most=100)["a"]
    assert len(times) == 32 and median(times) == 0.0625


@pytest.mark.parametrize(("seconds", "count"), [(0.5, 3), (3.9, 3), (7.0, 7), (100.0, 9)])
def test_the_count_keeps_its_bounds(seconds, count):
    assert len(Bench(a=1.0).run(seconds=seconds, least=3, most=9)["a"]) == count


def test_a_warm_function_is_not_called_more_than_it_is_timed():
    bench = Bench(a=1.0)
    bench.run(least=2, most=2, warm=True)
    assert bench.calls == ["a", "a"]


def test_a_clock_too_coarse_for_the_function():
    assert len(Bench(a=0.0).run(most=7)["a"]) == 7


def test_nothing_to_time():
    assert interleaved({}) == {}


@pytest.mark.parametrize("options", [{"seconds": 0.0}, {"least": 0}, {"least": 5, "most": 4}])
def test_bounds_that_make_no_sense(options):
    with pytest.raises(ValueError, match=r"^seconds, least, most: expected"):
        Bench(a=1.0).run(**options)


def test_a_function_that_fails_is_not_hidden():
    def fail():
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        interleaved({"a": fail})


def test_median():
    assert median([3.0, 1.0, 100.0]) == 3.0
