"""Networks in several modes: what is compared, counted and told. Nothing here asserts a speed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab import ops
from cnnlab.bench.models import catalogue, measure, report, worker
from cnnlab.bench.models.program import MOMENTUM, Program, images
from cnnlab.bench.models.shares import KINDS, kinds_of, shares
from cnnlab.ops.algorithms.taps import TAPS

SETTINGS = measure.Settings(("jax", "accelerated"), 0.001, 60.0, 0)
CASE = catalogue.Case("WaveNet", 2, 64)


def program(scale=1.0, slope=1.0):
    """A convolution, a mean and a state that counts; `scale` its outputs, `slope` its gradient."""
    inputs, labels = images(2, (6, 6, 2), 3, 0)
    kernel = np.random.default_rng(1).standard_normal((3, 3, 2, 3), np.float32)

    def apply(parameters, state, inputs, training):
        kernel = parameters["kernel"]
        kernel = lax.stop_gradient(kernel * (1 - slope)) + slope * kernel
        names = ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(inputs, kernel, (1, 1), "SAME", dimension_numbers=names)
        return scale * y.mean((1, 2)), state + training

    return Program({"kernel": jnp.asarray(kernel)}, jnp.zeros(()), apply, inputs, labels)


class Here:
    """A worker of this process, as `measure.Remote` is of another."""

    def __init__(self, program):
        self.worker = worker.JaxWorker(program)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        pass

    def ask(self, do, which):
        return json.loads(json.dumps(worker.answer(self.worker, {"do": do, "which": which})))


def test_a_step_is_sgd_with_momentum_and_state_goes_on():
    made = program()
    loss = lambda p: made.loss(made.apply(p, made.state, made.inputs, True)[0], made.labels)
    value, gradient = jax.value_and_grad(loss)(made.parameters)
    carry, first = made.step(made.begin(), made.inputs, made.labels)
    assert first == pytest.approx(value)
    np.testing.assert_allclose(carry[1][0].trace["kernel"], gradient["kernel"], rtol=1e-5)
    again, second = made.step(carry, made.inputs, made.labels)
    assert second < first and carry[2] == 1 and again[2] == 2
    moved = made.parameters["kernel"] - carry[0]["kernel"]
    further = carry[0]["kernel"] - again[0]["kernel"]
    np.testing.assert_allclose(further, (1 + MOMENTUM) * moved, atol=1e-2 * float(moved.max()))


@pytest.fixture(scope="module")
def record():
    made = measure.measure(CASE, SETTINGS, lambda case, mode, settings: Here(program()))
    return json.loads(json.dumps(made))


def test_all_that_is_measured(record):
    for rows in record["passes"].values():
        assert set(rows) == {"jax", "accelerated"}
        for row in rows.values():
            assert 0 < row["fastest"] <= row["seconds"] and row["calls"] >= 3
            assert row["compile"] > 0 and row["bytes"] >= 0 and row["peak"] > 1e7
        assert rows["accelerated"]["error"] < 1e-5 and "error" not in rows["jax"]
    for found in record["shares"].values():
        assert set(found["shares"]) == set(KINDS)
        assert sum(found["shares"].values()) == pytest.approx(1)
        assert found["shares"]["convolution"] > 0 and found["slowest"]


@pytest.mark.parametrize(
    ("wrong", "passes", "where"),
    [({"scale": 1.1}, {"forward", "step"}, "outputs"), ({"slope": 1.05}, {"step"}, "['kernel']")],
)
def test_what_computes_something_else_is_not_timed(wrong, passes, where):
    other = {"jax": {}, "accelerated": wrong}
    start = lambda case, mode, settings: Here(program(**other[mode]))
    found = measure.measure(CASE, SETTINGS, start)
    rows = {which: found["passes"][which]["accelerated"] for which in ("forward", "step")}
    assert {which for which, row in rows.items() if row.get("wrong")} == passes
    assert all(("seconds" in row) != ("wrong" in row) for row in rows.values())
    assert where in rows["forward" if "forward" in passes else "step"]["worst"]
    assert all("seconds" in found["passes"][which]["jax"] for which in rows)
    assert "accelerated" not in found["shares"]
    [*lines] = report.complaints({CASE.title: found})
    assert len(lines) == len(passes) and all(line.startswith("wrong: accel") for line in lines)


def test_what_rounding_changes_as_much_is_not_wrong():
    class Shaky(Here):
        def ask(self, do, which):
            found = super().ask(do, which)
            return (
                found | {"loss": 1.02 * found["loss"]}
                if "loss" in found and do != "check"
                else found
            )

    other = {"jax": {}, "accelerated": {"slope": 1.05}}
    start = lambda case, mode, settings: Shaky(program(**other[mode]))
    row = measure.measure(CASE, SETTINGS, start)["passes"]["step"]["accelerated"]
    assert 0.04 < row["error"] < row["limit"] < 0.07 and "wrong" not in row and row["seconds"] > 0


def test_a_gradient_that_is_turned_around_is_noticed():
    """It is as large as the right one."""
    honest = Here(program())
    honest.ask("compile", "step")
    theirs = honest.ask("check", "step")
    values = np.asarray(honest.worker._carry[1][0].trace["kernel"])
    part = float(values[::-1, ::-1].ravel() @ worker._DIRECTION[: values.size])
    [(name, (size, _))] = theirs["gradients"].items()
    ours = {**theirs, "gradients": {name: [size, part]}}
    assert measure.errors(theirs, theirs)[0] == 0
    assert measure.errors(ours, theirs)[0] > 0.1


def test_a_mode_that_fails_is_a_result_and_the_others_go_on():
    def start(case, mode, settings):
        if mode == "accelerated":
            raise measure.Refused("start took more than 60 s")
        return Here(program())

    found = measure.measure(CASE, SETTINGS, start)
    for which, rows in found["passes"].items():
        assert rows["accelerated"] == {"failed": "start took more than 60 s"}
        assert "seconds" in rows["jax"]
        line = f"failed: accelerated, {CASE.title}, {which}: start took more than 60 s"
        assert line in report.complaints({CASE.title: found})


def test_another_process_answers_and_says_why_it_can_not():
    case = catalogue.Case("jax26266", 0, 0)
    with measure.Remote(case, "accelerated", SETTINGS) as remote:
        assert remote.ask("compile", "forward")["seconds"] > 0
        outputs = remote.ask("check", "forward")["outputs"]
        with pytest.raises(measure.Refused, match="no_such"):
            remote.ask("no_such", "forward")
        assert remote.ask("call", "forward")["seconds"] > 0
    made = case.build(0)
    expected = np.asarray(made.forward(made.parameters, made.state, made.inputs)).ravel()
    np.testing.assert_allclose(outputs, expected[:: expected.size // 1000], rtol=1e-3, atol=1e-3)


def test_every_kind_of_work_is_found(tmp_path):
    def f(x, kernel):
        y = lax.conv(x, kernel, (1, 1), "SAME")
        with jax.named_scope("BatchNorm_0"):
            y = y * lax.rsqrt((y * y).mean((0, 2, 3), keepdims=True))
        y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        taps = ops.conv(x, jnp.ones((3, 3, 8, 8)), algorithm=TAPS.name)
        return jnp.tanh(y) + 1, jnp.sort(x.transpose(3, 2, 1, 0)), taps, x.sum()

    arguments = jnp.ones((2, 3, 8, 8)), jnp.ones((4, 3, 3, 3))
    compiled = jax.jit(f).lower(*arguments).compile()
    kinds = kinds_of(compiled.as_text())
    assert {kind for kind, _ in kinds.values()} >= set(KINDS) - {"other"}
    assert ("convolution", "jit(f)/conv_general_dilated") in kinds.values()
    assert any(kind == "convolution" and "_taps/" in source for kind, source in kinds.values())
    sums = {kind for kind, source in kinds.values() if "reduce_sum" in source}
    assert {"normalisation", "element-wise"} <= sums and "pooling" not in sums
    with jax.profiler.trace(tmp_path):
        jax.block_until_ready(compiled(*arguments))
    [trace] = tmp_path.rglob("*.xplane.pb")
    assert shares(compiled.as_text(), trace)["shares"]["other"] == 0


def test_tables_means_and_the_chart(record, tmp_path):
    rows = lambda jax, ours, torch: {
        "jax": {"seconds": jax, "compile": 2.0, "peak": 100e6},
        "accelerated": {"seconds": ours, "compile": 3.0, "peak": 110e6},
        "torch": {"seconds": 2 * torch},
        "torch compiled": {"seconds": torch},
    }
    made = {
        "VGG16 (keras), batch 1, 64": {"passes": dict.fromkeys(report.TITLES, rows(0.8, 0.1, 0.2))},
        "VGG16 (keras), batch 16, 64": {
            "passes": dict.fromkeys(report.TITLES, rows(0.2, 0.1, 0.05))
        },
        "jax23713 (reports)": {"passes": dict.fromkeys(report.TITLES, rows(0.9, 0.03, 0.03))},
    }
    text = report.markdown({**MACHINE}, made | {CASE.title: record})
    row = "| VGG16 (keras), batch 1, 64 | 800 | 100 | 8.00 | 200 | 0.50 | 2 | 3 | 100 | 110 |"
    assert text.count(row) == 2
    lines = list(report.means(made, "step"))
    assert lines == [
        "- networks, faster: 4.00 times (n = 2), least 2.00",
        "- open reports, faster: 30.00 times (n = 1), least 30.00",
        "- of PyTorch's time: 1.00 (n = 2), most 2.00",
        "- compile time, accelerated over JAX: 1.50, most 1.50",
        "- memory, accelerated over JAX: 1.10, most 1.10",
    ]
    assert "## Where the time goes" in text and "## Not timed" not in text
    report.chart(made, tmp_path / "bars.png")
    assert (tmp_path / "bars.png").stat().st_size > 1000


def test_the_chart_draws_a_network_of_which_one_pass_has_a_time(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(report, "write_figure", lambda path, figure: drawn.append(figure))
    forward = {"jax": {"seconds": 0.8}, "accelerated": {"seconds": 0.1}}
    step = {"jax": {"seconds": 0.8}, "accelerated": {"wrong": True}}
    case = {"passes": {"forward": forward, "step": step}}
    report.chart({CASE.title: case}, tmp_path / "bars.png")
    [axes] = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [CASE.title.split(",")[0]]
    assert [text.get_text() for text in axes.texts] == ["8.0"]


MACHINE = {"device": "1 x cpu", "processor": "P", "cores": 2, "versions": {"jax": "0"}}


def test_each_library_has_its_networks_and_reports_have_one_case_each():
    found = catalogue.cases([1, 16], [64, 128])
    titles = [case.title for case in found]
    assert len(set(titles)) == len(titles) == 4 * 13 + 3
    assert "Xception (keras), batch 1, 71" in titles and "jax23713 (reports)" in titles
    libraries = {network.library for network in catalogue.NETWORKS.values()}
    assert libraries == set(catalogue.LIBRARIES)


def test_a_network_has_a_loss_and_a_state_of_one_form():
    made = catalogue.Case("UNet", 2, 32).build(0)
    carry, loss = jax.eval_shape(made.step, made.begin(), made.inputs, made.labels)
    assert loss.shape == () and jax.tree.structure(carry) == jax.tree.structure(made.begin())
    outputs = jax.eval_shape(made.forward, made.parameters, made.state, made.inputs)
    assert outputs.shape[:-1] == made.labels.shape == (2, 32, 32)
