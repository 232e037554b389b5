"""The question `heads`: a tiny scale, its changes of images, and its judge on made-up data."""

import copy

import numpy as np
import pytest

from cnnlab.config import ConfigError, compose
from cnnlab.lab.cells import Cells
from experiments._heads import pooled_error, resize, shift
from experiments.heads import FLATTEN, POOLS, check, judge, measure


def run(accuracy, lost_moved=0.1, lost_resized=0.1, takes=True, changed=0.2):
    resized = accuracy - lost_resized if takes else None
    return {
        "accuracy": accuracy,
        "train_accuracy": 0.9,
        "shifts": {"1": accuracy - lost_moved, "2": accuracy - lost_moved},
        "changed": {"1": changed, "2": changed},
        "sizes": {"20": resized, "28": accuracy},
        "back": {"20": accuracy, "28": accuracy},
    }


def made_up():
    """Data for which all claims hold, but for the two that a real network refutes."""
    spread = (0.0, 0.001, 0.002)
    runs = {pool: [run(0.8 + e, 0.1 + 2 * e) for e in spread] for pool in POOLS}
    runs["sum"] = [run(0.8 + e, 0.1 + e, lost_resized=0.3 - e) for e in spread]
    runs[FLATTEN] = [run(0.8 + e / 2, 0.3, takes=False) for e in spread]
    return {
        "native": 28,
        "parameters": {
            pool: {"backbone": 10, "head": 4 * 8 + 8 + 8 * 3 + 3} for pool in POOLS
        } | {FLATTEN: {"backbone": 10, "head": 4 * 25 * 8 + 8 + 8 * 3 + 3}},
        "widths": [4, 8, 3],
        "positions": 25,
        "pooled": dict.fromkeys(POOLS, 1e-7),
        "maps": 10,
        "runs": runs,
    }  # fmt: skip


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny(
        "heads", "data=fake", "data.shape=[12,12,1]", "data.train_size=64", "data.test_size=32",
        "plan=[4,M,6]", "hidden=[5]", "seeds=2", "limit_train=null", "limit_eval=32", "steps=2",
        "batch_size=16", "shifts=[1]", "sizes=[8,12]", "maps=2",
    )  # fmt: skip
    data = result["data"]
    assert data["widths"] == [6, 5, 10] and data["positions"] == 36
    for pool, of in data["runs"].items():
        assert len(of) == 2
        for one in of:
            assert (one["sizes"]["8"] is None) == (pool == FLATTEN)
            assert one["sizes"]["12"] == one["accuracy"]
    found = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert [found[name] for name in ("invariant", "parameters", "resolution")] == ["holds"] * 3


def test_the_judge_where_claims_hold():
    found = verdicts(made_up())
    assert found.pop("network") == "fails" and found.pop("independent") == "fails"
    assert set(found.values()) == {"holds"}
    other = made_up()
    for pool in POOLS:
        other["runs"][pool] = [run(a, 0.0, 0.0, changed=0.0) for a in (0.8, 0.8, 0.8)]
    assert [verdicts(other)[name] for name in ("network", "independent")] == ["holds"] * 2


@pytest.mark.parametrize(
    ("claim", "spoil"),
    [
        ("invariant", lambda d: d["pooled"].update(max=0.1)),
        ("shifts", lambda d: d["runs"].update(max=[run(0.8, 0.5 + e) for e in (0, 0.01, 0.02)])),
        ("parameters", lambda d: d["parameters"]["avg"].update(head=68)),
        ("parameters", lambda d: d.update(positions=1)),
        ("accuracy", lambda d: d["runs"].update(avg=[run(0.7 + e) for e in (0, 0.001, 0.002)])),
        ("resolution", lambda d: d["runs"]["max"][0]["sizes"].update({"20": None})),
        ("resolution", lambda d: d["runs"][FLATTEN][0]["sizes"].update({"20": 0.5})),
        ("mean", lambda d: d["runs"].update(sum=[run(0.8, 0.1, e) for e in (0, 0.001, 0.002)])),
    ],
)
def test_the_judge_where_one_fails(claim, spoil):
    data = copy.deepcopy(made_up())
    spoil(data)
    assert verdicts(data)[claim] == "fails"


def test_one_network_of_each_is_too_little():
    data = made_up()
    data["runs"] = {pool: runs[:1] for pool, runs in data["runs"].items()}
    found = verdicts(data)
    assert [found[name] for name in ("shifts", "accuracy", "mean")] == ["inconclusive"] * 3


def test_shift_and_resize(getkey):
    images = np.arange(2 * 4 * 5).reshape(2, 4, 5, 1).astype(np.uint8) + 1
    moved = shift(images, 1, -2)
    assert moved.shape == images.shape and moved.dtype == np.uint8
    np.testing.assert_array_equal(moved[:, 1:, :3], images[:, :-1, 2:])
    assert moved[:, 0].max() == 0 == moved[:, :, 3:].max()
    np.testing.assert_array_equal(shift(images, 0, 0), images)
    square = images[:, :, :4]
    np.testing.assert_allclose(resize(square, 4), square)
    larger = resize(square, 8)
    assert larger.shape == (2, 8, 8, 1) and larger.dtype == np.float32
    corner = square[:, :2, :2].reshape(2, 4).astype(float)
    np.testing.assert_allclose(
        larger[:, 2, 2, 0], corner @ [0.0625, 0.1875, 0.1875, 0.5625], rtol=1e-5
    )


def test_pooling_discards_positions():
    assert pooled_error("max", (0, 1)) == 0
    assert pooled_error("sum", (0, 1)) < 1e-6 and pooled_error("avg", (0, 1)) < 1e-6


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("pools=[avg]", "pools"),
        ("seeds=0", "seeds"),
        ("sizes=[2]", r"sizes\[0\]"),
        ("data=mnist1d", "data"),
    ],
)
def test_bad_settings_are_refused(override, key):
    with pytest.raises(ConfigError, match=f"^{key}: expected"):
        cfg = compose([override], "heads")
        check(cfg)
        measure(cfg, Cells())
