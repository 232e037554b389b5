"""The question `heads`: a tiny scale, its changes of images, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.heads import question
from experiments.heads.networks import FLATTEN, POOLS, pooled_error, resize, shift

from cnnlab.config import ConfigError, compose
from cnnlab.lab import Records, answer, pack


def right(accuracy):
    """Of 1,000 images, the first."""
    return pack(np.arange(1000) < 1000 * accuracy)


def run(pool, seed, accuracy, lost_moved=0.1, lost_resized=0.1, changed=0.2):
    """What one network is tested on."""
    resized = None if pool == FLATTEN else accuracy - lost_resized
    found = [("training", 0, 0.9), ("test", 0, accuracy)]
    found += [("moved", by, accuracy - lost_moved) for by in (1, 2)]
    found += [("resized", 20, resized), ("resized", 28, accuracy)]
    found += [("resized back", size, accuracy) for size in (20, 28)]
    names = {"pool": pool, "seed": seed}
    return [
        {**names, "images": i, "by": by, "accuracy": a}
        | ({"changed": changed} if i == "moved" else {})
        | ({"right": right(a)} if i == "test" else {})
        for i, by, a in found
    ]


def made_up():
    """Data for which all claims hold, but for the two that a real network refutes."""
    tests = []
    for seed, e in enumerate((0.0, 0.001, 0.002)):
        for pool in ("avg", "max"):
            tests += run(pool, seed, 0.8 + e, 0.1 + 2 * e)
        tests += run("sum", seed, 0.8 + e, 0.1 + e, lost_resized=0.3 - e)
        tests += run(FLATTEN, seed, 0.8 + e / 2, 0.3)
    heads = {**dict.fromkeys(POOLS, 67), FLATTEN: 835}
    return {
        "native": 28,
        "baseline": 70.0,
        "parameters": [
            {"pool": p, "backbone": 10, "head": n, "formula": n} for p, n in heads.items()
        ],
        "pooled": [{"pool": pool, "maps": 10, "error": 1e-7} for pool in POOLS],
        "tests": tests,
    }


def put(data, pool, *runs):
    """Other networks of a pooling."""
    others = [r for r in data["tests"] if r["pool"] != pool]
    data["tests"] = others + [r for seed, one in enumerate(runs) for r in run(pool, seed, *one)]


def test_tiny(tiny):
    result = tiny(
        "heads", "data=fake", "data.shape=[12,12,1]", "data.train_size=64", "data.test_size=32",
        "plan=[4,M,6]", "hidden=[5]", "seeds=1", "most_seeds=2",
        "limit_train=null", "limit_eval=32", "steps=2",
        "batch_size=16", "shifts=[1]", "sizes=[8,12]", "maps=2",
    )  # fmt: skip
    data = result["data"]
    sizes = {FLATTEN: 36 * 6}
    for row in data["parameters"]:
        assert row["formula"] == sizes.get(row["pool"], 6) * 5 + 5 + 5 * 10 + 10
    for (pool, seed), found in Records(data["tests"]).by("pool", "seed").items():
        [test], [small], [native] = (
            found.where(**which)["accuracy"]
            for which in ({"images": "test"}, *({"images": "resized", "by": n} for n in (8, 12)))
        )
        assert (small is None) == (pool == FLATTEN) and native == test and seed in (0, 1)
    found = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert [found[name] for name in ("invariant", "parameters", "resolution")] == ["holds"] * 3


def test_the_judge_where_claims_hold(verdicts):
    found = verdicts(question, made_up())
    assert found.pop("network") == "fails" and found.pop("independent") == "fails"
    assert set(found.values()) == {"holds"}
    other = made_up()
    for pool in POOLS:
        put(other, pool, *[(0.8, 0.0, 0.0, 0.0)] * 3)
    found = verdicts(question, other)
    assert [found[name] for name in ("network", "independent")] == ["holds"] * 2


def spoilt(part, pool, **values):
    """A row of a pooling with other values."""
    return lambda data: next(r for r in data[part] if r["pool"] == pool).update(values)


def resized(pool, accuracy):
    """The first network of a pooling on images of another size."""
    which = {"pool": pool, "images": "resized", "by": 20}
    return lambda data: Records(data["tests"]).where(**which)[0].update(accuracy=accuracy)


@pytest.mark.parametrize(
    ("claim", "spoil"),
    [
        ("invariant", spoilt("pooled", "max", error=0.1)),
        ("shifts", lambda d: put(d, "max", *((0.8, 0.5 + e) for e in (0, 0.01, 0.02)))),
        ("parameters", spoilt("parameters", "avg", head=68)),
        ("parameters", spoilt("parameters", FLATTEN, head=66, formula=66)),
        ("accuracy", lambda d: put(d, "avg", *((0.7 + e,) for e in (0, 0.001, 0.002)))),
        ("resolution", resized("max", None)),
        ("resolution", resized(FLATTEN, 0.5)),
        ("mean", lambda d: put(d, "sum", *((0.8, 0.1, e) for e in (0, 0.001, 0.002)))),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoil):
    data = made_up()
    spoil(data)
    assert verdicts(question, data)[claim] == "fails"


def test_networks_that_have_not_learnt_say_nothing(verdicts):
    data = made_up() | {"baseline": 90.0}
    found = verdicts(question, data)
    assert [found[n] for n in ("shifts", "accuracy", "mean")] == ["inconclusive"] * 3
    assert found["invariant"] == found["resolution"] == "holds"


def test_one_network_of_each_is_too_little(verdicts):
    data = made_up()
    data["tests"] = [row for row in data["tests"] if row["seed"] == 0]
    found = verdicts(question, data)
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
def test_bad_settings_are_refused(override, key, tmp_path):
    with pytest.raises(ConfigError, match=f"^{key}: expected"):
        answer(question, compose([override, f"output={tmp_path}"], "heads"))
    assert not list(tmp_path.glob("heads/*"))
