"""What `auto` takes: forced, measured here, measured for the package, or by rule."""

import dataclasses
import json
import math
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops_reference import normal

from cnnlab import ops
from cnnlab.ops import describe, table
from cnnlab.ops.algorithms import FOURIER, PASSES, REFERENCE, REGISTRY
from cnnlab.ops.choice import VARIABLE, automatic, check, choose, predicted, serving
from cnnlab.ops.lowering import EXPORT
from cnnlab.ops.native import ENGINE

PROBLEM = describe((3, 7, 5, 2), (3, 3, 2, 4))
# Some that can serve it beside XLA's own, and one that can't.
ONE, TWO, THREE = [n for n in serving(PROBLEM) if n != REFERENCE][:3]
UNABLE = next(n for n in REGISTRY if n not in serving(PROBLEM))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_what_was_measured_here_goes_first():
    times = {
        "forward": {REFERENCE: 2.0, ONE: 1.0, THREE: 3.0},
        "kernel_gradient": {TWO: 1.0, REFERENCE: 2.0, UNABLE: 0.1, "unknown": 0.1},
    }
    before = automatic(PROBLEM, "input_gradient", "cpu")
    file = table.remember({table.key(PROBLEM): times}, "cpu")
    assert file.name == f"cpu-cpu-jax-{jax.__version__}.json"
    assert automatic(PROBLEM, "forward", "cpu") == ONE
    # What cannot serve, or is not there, does not win; a pass without times is predicted.
    assert automatic(PROBLEM, "kernel_gradient", "cpu") == TWO
    assert automatic(PROBLEM, "input_gradient", "cpu") == before
    assert ops.algorithms((3, 7, 5, 2), (3, 3, 2, 4))[0] == ONE
    other = describe((4, 7, 5, 2), (3, 3, 2, 4))
    assert table.measured(other, "forward", "cpu") == {}
    # Later measurements replace earlier ones and leave the others.
    table.remember({table.key(other): {"forward": {TWO: 1.0}}}, "cpu")
    assert automatic(other, "forward", "cpu") == TWO
    assert automatic(PROBLEM, "forward", "cpu") == ONE


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"entries": 3}', '{"entries": {"a": {"forward": {"b": -1}}}}',
             '{"entries": {"a": {"sideways": {"b": 1}}}}', '{"entries": {"a": 1}}', "[" * 10**5]
)  # fmt: skip
def test_a_corrupt_cache_is_ignored_with_one_line(text, caplog):
    file = table.user_file("cpu")
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for which in PASSES:
        assert automatic(PROBLEM, which, "cpu") in REGISTRY
    [message] = caplog.messages
    assert message.startswith(f"{file}: ignored, not a table") and "\n" not in message


def test_where_nothing_can_be_kept_tuning_says_so_before_it_measures(tmp_path):
    other = tmp_path / "other.json"
    other.write_text('{"mine": 1}')
    with pytest.raises(OSError, match="not a table of measurements, it stays"):
        table.remember({}, "cpu", other)
    assert other.read_text() == '{"mine": 1}'
    with pytest.raises(OSError, match="can't be written to"):
        table.writable("cpu", other / "below.json")
    new = tmp_path / "new" / "table.json"
    assert table.writable("cpu", new) == new and not new.parent.exists()


def test_xlas_own_is_kept_where_measurements_do_not_tell_them_apart():
    for time, expected in ((0.95, REFERENCE), (0.8, ONE)):
        times = {"forward": {REFERENCE: 1.0, ONE: time}}
        table.remember({table.key(PROBLEM): times}, "cpu")
        assert automatic(PROBLEM, "forward", "cpu") == expected


def test_the_key_says_all_that_a_time_depends_on():
    x, kernel = (2, 9, 8, 4), (3, 2, 2, 6)
    options = {"stride": (1, 2), "padding": ((0, 1), (2, 0)), "dilation": (2, 1), "groups": 2}
    expected = "2x9x8x4 k3x2x2x6 s1x2 p0:1x2:0 d2x1 g2 float32"
    assert table.key(describe(x, kernel, **options)) == expected
    varied = [
        describe((3, *x[1:]), kernel, **options),
        describe(x, (3, 2, 2, 4), **options),
        *(describe(x, kernel, **options | {name: 1}) for name in ("stride", "padding", "dilation")),
        describe(x, kernel, **options, dtype=jnp.bfloat16),
    ]
    assert len({table.key(p) for p in varied} | {expected}) == 7


@pytest.mark.parametrize(
    ("isa", "expected"),
    [("avx2", "cpu-avx2"), ("avx2_vnni", "cpu-avx2"), ("avx512_core_bf16", "cpu-avx512")],
)
def test_a_table_serves_the_instructions_that_it_was_measured_with(isa, expected, monkeypatch):
    monkeypatch.setattr(ENGINE, "isa", lambda: isa)
    monkeypatch.setattr(ENGINE, "refusal", lambda: None)
    assert table.machine("cpu") == expected
    monkeypatch.setattr(ENGINE, "refusal", lambda: "no compiler")
    assert table.machine("cpu") == "cpu-avx2"


def test_what_was_measured_on_a_card_is_taken_by_programs_for_it(monkeypatch):
    """JAX calls the backend of one `gpu` and its programs' platform `cuda`."""
    card = SimpleNamespace(platform="gpu", device_kind="NVIDIA H100 80GB HBM3")
    there = {"gpu": [card], "cuda": [card]}
    monkeypatch.setattr(jax, "devices", there.__getitem__)
    assert automatic(PROBLEM, "forward", "cuda") == REFERENCE
    times = {"forward": {REFERENCE: 2.0, ONE: 1.0}}
    file = table.remember({table.key(PROBLEM): times}, "gpu")
    assert file.name == f"gpu-nvidia-h100-80gb-hbm3-jax-{jax.__version__}.json"
    assert automatic(PROBLEM, "forward", "cuda") == ONE
    assert table.machine("cuda") == table.machine("gpu") == "gpu-nvidia-h100-80gb-hbm3"


@pytest.mark.parametrize("machine", ["cpu-avx2", "cpu-avx512"])
def test_the_packages_table_is_of_problems_and_passes_that_exist(machine):
    assert table.machine("cuda") == "cuda"
    entries = table.shipped(machine)
    assert entries
    for line, passes in entries.items():
        assert set(passes) <= set(PASSES), line
        for times in passes.values():
            assert REFERENCE in times
            assert set(times) <= set(REGISTRY)
            assert all(t > 0 for t in times.values())
    assert table.shipped("no such platform") == {}


@pytest.mark.parametrize("name", REGISTRY)
def test_the_environment_forces_one_everywhere_that_it_can_serve(name, monkeypatch):
    monkeypatch.setenv(VARIABLE, name)
    three, one = describe((1, 6, 2), (3, 2, 4)), describe((1, 6, 2), (1, 2, 4))
    for problem in (three, one):
        expected = name if name in serving(problem) else "auto"
        assert check("auto", problem) == check(ONE, problem) == expected
        forced = choose(check(REFERENCE, problem), problem, "forward", "cpu").name
        assert forced == (name if expected == name else automatic(problem, "forward", "cpu"))


def test_forcing_changes_what_runs(monkeypatch):
    x, kernel = normal(2, 9, 3), normal(3, 3, 4, seed=1)
    plain = ops.conv(x, kernel)
    monkeypatch.setenv(VARIABLE, FOURIER)
    assert "stablehlo.fft" in jax.jit(lambda x: ops.conv(x, kernel)).lower(x).as_text()
    np.testing.assert_allclose(ops.conv(x, kernel), plain, rtol=1e-5, atol=1e-5)
    monkeypatch.setenv(VARIABLE, "")
    assert "stablehlo.fft" not in jax.jit(lambda x: ops.conv(x, kernel)).lower(x).as_text()
    monkeypatch.setenv(VARIABLE, "magic")
    with pytest.raises(ValueError, match=rf"^{VARIABLE}: expected one of auto, .*'magic'"):
        ops.conv(x, kernel)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_are_left_to_their_library(platform):
    assert [automatic(PROBLEM, which, platform) for which in PASSES] == [REFERENCE] * 3


@pytest.mark.parametrize("platform", ["cpu", "cuda", EXPORT, "other"])
def test_something_is_always_predicted(platform):
    """Also of those that sum every result by themselves, whatever the problem."""
    problems = [p for a in REGISTRY.values() for rank in (1, 2, 3) if (p := a.example(rank))]
    problems += [dataclasses.replace(p, dtype=np.dtype(np.int32)) for p in problems]
    for problem in problems:
        for which in PASSES:
            direct = [n for n in serving(problem) if REGISTRY[n].direct(problem, which, platform)]
            for able in (serving(problem), direct):
                best = predicted(able, problem, which, platform)
                assert 0 < REGISTRY[best].nanoseconds(problem, which, platform) < math.inf


def test_candidates_say_what_can_serve_and_why_the_others_cannot():
    found = ops.algorithms((2, 6, 6, 4), (3, 3, 2, 4), groups=2)
    problem = describe((2, 6, 6, 4), (3, 3, 2, 4), groups=2)
    assert set(found) | set(found.refused) == set(REGISTRY)
    assert found[0] == found.auto["forward"]
    lines = {line.split()[0]: line for line in str(found).splitlines()}
    for name, algorithm in REGISTRY.items():
        if name in found:
            assert f" {algorithm.multiply_adds(problem):,} multiply-adds" in lines[name]
            assert algorithm.source in lines[name] and algorithm.errors in lines[name]
        else:
            assert found.refused[name] == algorithm.refusal(problem)
            assert lines[name].endswith(f"no: {found.refused[name]}")
    assert len(found.refused) > 2 and "auto: " in str(found)


def test_a_table_is_plain_json(cache):
    file = table.remember(
        {table.key(PROBLEM): {"forward": {REFERENCE: 1.0}}}, "cpu", cache / "t.json"
    )
    assert json.loads(file.read_text()) == {
        "entries": {table.key(PROBLEM): {"forward": {REFERENCE: 1.0}}}
    }
    assert [p.name for p in cache.iterdir()] == ["t.json"]
