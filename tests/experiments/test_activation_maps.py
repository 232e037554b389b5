"""The question `activation_maps`: on a network of its own, on runs, and its judge."""

import json

import pytest
from experiments.activation_maps import question

from cnnlab.config import ConfigError, build, compose

STAGE = {"name": "stages[0]", "shape": [4, 4, 3], "stride": 2, "field": 4, "zeros": 0.5}
MOVED = {"image": 0, "steps": 1, "stage": 0}
DATA = {
    "about": "made up",
    "errors": [1e-7, 2e-7],
    "unlike": [0, 2],
    "layout": [{**MOVED, "error": 1e-7}, {**MOVED, "error": 0.0}],
    "stages": [STAGE],
}
SMALL = ("images=2", "filters=3", "channels=2", "steps_moved=[1]")


@pytest.fixture
def trained(tmp_path):
    """A run directory of a training in a few steps."""

    def run(*overrides, **options):
        base = ["data=fake", "optimizer=sgd", "steps=2", "batch_size=8", "progress=false"]
        cfg = compose([*base, f"output={tmp_path}/runs", *overrides], **options)
        experiment = build(cfg)
        experiment.run()
        return experiment.directory.path

    return run


def test_tiny(tiny):
    result = tiny(
        "activation_maps", *SMALL, "dataset=digits", "plan=[4,M,6]", "steps=2", "batch_size=8"
    )
    assert {c["verdict"] for c in result["claims"]} == {"holds"}
    shapes = [stage["shape"] for stage in result["data"]["stages"]]
    assert shapes == [[4, 4, 4], [4, 4, 6]]
    assert json.dumps(result).count("NaN") == 0


def test_a_run_of_sequences(tiny, trained):
    path = trained("data.shape=[16,2]", "backbone.plan=[4,M,6]", "backbone.pool=stride")
    result = tiny("activation_maps", *SMALL, f"run={path}")
    assert {c["verdict"] for c in result["claims"]} == {"holds"}
    assert "step 2" in result["data"]["about"]


def test_a_run_without_shared_weights(tiny, trained, tmp_path, monkeypatch):
    """By a function of one's own, which the command is told to trust."""
    (tmp_path / "unshared.py").write_text(
        "from cnnlab.nn import factories\n"
        "def make(i, o, *, kernel_size, spatial_shape, padding='SAME', kernel_init='he_normal',"
        " use_bias=True, key):\n"
        "    return factories.locally_connected(i, o, kernel_size=kernel_size, use_bias=use_bias,"
        " spatial_shape=spatial_shape, key=key)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    conv = ("conv=locally_connected", "conv._target_=unshared.make")
    path = trained("backbone.plan=[4,M]", *conv, trust=["unshared"])
    result = tiny("activation_maps", *SMALL, f"run={path}", trust=["unshared"])
    assert {c["verdict"] for c in result["claims"]} == {"inconclusive"}
    with pytest.raises(ConfigError, match=r"^run: .* that you trust, say so: trust=\[unshared\]$"):
        tiny("activation_maps", *SMALL, f"run={path}", "images=1")


def test_refusals(tiny, trained, tmp_path):
    path = trained("backbone=mlp")
    with pytest.raises(ConfigError, match=r"^run: expected a network with convolutions, got MLP"):
        tiny("activation_maps", f"run={path}")
    with pytest.raises(ConfigError, match=r"^run: expected a run directory"):
        tiny("activation_maps", f"run={tmp_path}")
    with pytest.raises(ConfigError, match=r"^images: expected a whole number >= 1"):
        tiny("activation_maps", "images=0")


def test_the_judge(verdicts):
    assert verdicts(question, DATA) == dict.fromkeys(("correlation", "response", "layout"), "holds")


@pytest.mark.parametrize(
    "changed, key, value",
    [
        ("correlation", "errors", [1e-7, 0.1]),
        ("response", "unlike", [1, 2]),
        ("layout", "layout", [{**MOVED, "error": 1e-7}, {**MOVED, "error": 0.1}]),
    ],
)
def test_the_judge_refutes(changed, key, value, verdicts):
    assert verdicts(question, DATA | {key: value})[changed] == "fails"
