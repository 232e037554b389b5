"""What `auto` takes: forced, measured here, measured for the package, or by rule."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ops_reference import normal

from cnnlab import ops
from cnnlab.ops import table
from cnnlab.ops.algorithms import PASSES, REGISTRY
from cnnlab.ops.choice import VARIABLE, automatic, check, choose, serving
from cnnlab.ops.native import ENGINE
from cnnlab.ops.problem import describe
from cnnlab.ops.rules import prefer

PROBLEM = describe((3, 7, 5, 2), (3, 3, 2, 4))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def test_what_was_measured_here_goes_first():
    times = {
        "forward": {"lax": 2.0, "taps": 1.0, "winograd": 3.0},
        "kernel_gradient": {"im2col": 1.0, "lax": 2.0, "pointwise": 0.1, "unknown": 0.1},
    }
    before = automatic(PROBLEM, "input_gradient", "cpu")
    file = table.remember({table.key(PROBLEM): times}, "cpu")
    assert file.name == f"cpu-cpu-jax-{jax.__version__}.json"
    assert automatic(PROBLEM, "forward", "cpu") == "taps"
    # What cannot serve, or is not there, does not win; a pass without times goes by the rules.
    assert automatic(PROBLEM, "kernel_gradient", "cpu") == "im2col"
    assert automatic(PROBLEM, "input_gradient", "cpu") == before
    assert ops.algorithms((3, 7, 5, 2), (3, 3, 2, 4))[0] == "taps"
    other = describe((4, 7, 5, 2), (3, 3, 2, 4))
    assert table.measured(other, "forward", "cpu") == {}
    # Later measurements replace earlier ones and leave the others.
    table.remember({table.key(other): {"forward": {"im2col": 1.0}}}, "cpu")
    assert automatic(other, "forward", "cpu") == "im2col"
    assert automatic(PROBLEM, "forward", "cpu") == "taps"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"entries": 3}', '{"entries": {"a": {"forward": {"lax": -1}}}}',
             '{"entries": {"a": {"sideways": {"lax": 1}}}}', '{"entries": {"a": 1}}', "[" * 10**5]
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


def test_lax_is_kept_where_measurements_do_not_tell_them_apart():
    for taps, expected in ((0.95, "lax"), (0.8, "taps")):
        times = {"forward": {"lax": 1.0, "taps": taps}}
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


@pytest.mark.parametrize("machine", ["cpu-avx2", "cpu-avx512"])
def test_the_packages_table_is_of_problems_and_passes_that_exist(machine):
    assert table.machine("cuda") == "cuda"
    entries = table.shipped(machine)
    assert entries
    for line, passes in entries.items():
        assert set(passes) <= set(PASSES), line
        for times in passes.values():
            assert "lax" in times
            assert set(times) <= set(REGISTRY)
            assert all(t > 0 for t in times.values())
    assert table.shipped("no such platform") == {}


@pytest.mark.parametrize("name", REGISTRY)
def test_the_environment_forces_one_everywhere_that_it_can_serve(name, monkeypatch):
    monkeypatch.setenv(VARIABLE, name)
    three, one = describe((1, 6, 2), (3, 2, 4)), describe((1, 6, 2), (1, 2, 4))
    for problem in (three, one):
        expected = name if name in serving(problem) else "auto"
        assert check("auto", problem) == check("im2col", problem) == expected
        forced = choose(check("lax", problem), problem, "forward", "cpu").name
        assert forced == (name if expected == name else automatic(problem, "forward", "cpu"))


def test_forcing_changes_what_runs(monkeypatch):
    x, kernel = normal(2, 9, 3), normal(3, 3, 4, seed=1)
    plain = ops.conv(x, kernel)
    monkeypatch.setenv(VARIABLE, "fft")
    assert "stablehlo.fft" in jax.jit(lambda x: ops.conv(x, kernel)).lower(x).as_text()
    np.testing.assert_allclose(ops.conv(x, kernel), plain, rtol=1e-5, atol=1e-5)
    monkeypatch.setenv(VARIABLE, "")
    assert "stablehlo.fft" not in jax.jit(lambda x: ops.conv(x, kernel)).lower(x).as_text()
    monkeypatch.setenv(VARIABLE, "magic")
    with pytest.raises(ValueError, match=rf"^{VARIABLE}: expected one of auto, .*'magic'"):
        ops.conv(x, kernel)


def test_other_platforms_are_left_to_their_library():
    for which in PASSES:
        assert prefer(PROBLEM, which, "cuda") == ["lax"]
        assert automatic(PROBLEM, which, "tpu") == "lax"


# Also builds the engine, if need be, before a test points the cache elsewhere.
REASON = ENGINE.refusal()

RULES = [
    # x, kernel, options -> what the rules take for the three passes
    ((64, 16, 16, 128), (1, 1, 128, 256), {}, ["pointwise"] * 3),
    ((64, 16, 16, 128), (3, 3, 128, 128), {}, ["winograd"] * 3),
    ((64, 32, 32, 3), (3, 3, 3, 32), {}, ["lax", "lax", "im2col"]),
    ((64, 32, 32, 64), (3, 3, 64, 96), {"stride": 2}, ["lax", "lax", "im2col"]),
    ((64, 16, 16, 96), (3, 3, 1, 96), {"groups": 96}, ["taps"] * 3),
    ((16, 32, 32, 32), (31, 31, 1, 32), {"groups": 32}, ["fft"] * 3),
    ((64, 16, 16, 64), (3, 3, 8, 64), {"groups": 8}, ["lax", "lax", "im2col"]),
    ((1, 65536, 16), (512, 1, 16), {"groups": 16}, ["fft_overlap_add"] * 3),
    ((8, 16, 16, 16, 16), (3, 3, 3, 16, 16), {}, ["im2col"] * 3),
]


@pytest.mark.parametrize(("x", "kernel", "options", "expected"), RULES)
def test_rules_on_the_cpu(x, kernel, options, expected):
    problem = describe(x, kernel, **options)
    with ENGINE.disabled():
        assert [first(problem, which) for which in PASSES] == expected
    assert all(prefer(problem, which, "cpu")[-1] == "lax" for which in PASSES)


def first(problem, which):
    able = serving(problem)
    return next(name for name in prefer(problem, which, "cpu") if name in able)


@pytest.mark.skipif(REASON is not None, reason=f"no native engine: {REASON}")
def test_rules_with_the_native_engine():
    """It is taken where it has code for the shape and nothing does less arithmetic."""
    thin = describe((64, 32, 32, 3), (3, 3, 3, 32))
    depthwise = describe((64, 16, 16, 96), (3, 3, 1, 96), groups=96)
    for problem in (thin, depthwise):
        assert [first(problem, which) for which in PASSES] == ["native"] * 3
    large = describe((16, 32, 32, 32), (31, 31, 1, 32), groups=32)
    assert [first(large, which) for which in PASSES] == ["native"] * 3
    long = describe((1, 65536, 4), (1024, 1, 4), groups=4)
    assert [first(long, which) for which in PASSES] == ["fft"] * 3
    wide = describe((64, 16, 16, 32), (3, 3, 32, 128))
    assert [first(wide, which) for which in PASSES] == ["native_winograd"] * 3
    filters = describe((4, 100, 4), (60, 1, 8), groups=4)  # only oneDNN's general code
    assert "native" not in {first(filters, which) for which in PASSES}


@pytest.mark.skipif(REASON is not None, reason=f"no native engine: {REASON}")
@pytest.mark.parametrize(
    ("implementation", "expected"),
    [("brgconv:avx512_core_bf16", "native"), ("", "native_winograd")],
)
def test_minimal_filtering_gives_way_to_products_of_16_bits(implementation, expected, monkeypatch):
    """It computes in float32."""
    monkeypatch.setattr(ENGINE, "implementation", lambda *_: implementation)
    problem = describe((64, 16, 16, 128), (3, 3, 128, 128), dtype=jnp.bfloat16)
    assert [first(problem, which) for which in PASSES] == [expected] * 3


def test_candidates_say_what_can_serve_and_why_the_others_cannot():
    found = ops.algorithms((2, 6, 6, 4), (3, 3, 2, 4), groups=2)
    assert set(found) | set(found.refused) == set(REGISTRY)
    assert found.refused["winograd"] == "it has 2 groups, not 1"
    assert found[0] == found.auto["forward"]
    text = str(found)
    assert "winograd         no: it has 2 groups, not 1" in text
    line = next(line for line in text.splitlines() if line.startswith("toeplitz"))
    assert f"{2 * (6 * 6 * 4) ** 2:,} multiply-adds" in line
    assert "A 3.3" in line
    assert "auto: " in text


def test_a_table_is_plain_json(cache):
    file = table.remember({table.key(PROBLEM): {"forward": {"lax": 1.0}}}, "cpu", cache / "t.json")
    assert json.loads(file.read_text()) == {
        "entries": {table.key(PROBLEM): {"forward": {"lax": 1.0}}}
    }
    assert [p.name for p in cache.iterdir()] == ["t.json"]
