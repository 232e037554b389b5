"""The question `equivariance`: at a tiny scale, and its judge on made-up data."""

import copy

import pytest
from made_up import changed

from cnnlab.config import ConfigError
from experiments.equivariance import CIRCULAR, CLAIMS, EXACT, FLAT, ZEROS, judge, losses

# Verdicts where layers and networks are as they should be: three sentences fail as printed.
RIGHT = {claim.name: "fails" if "as_printed" in claim.name else "holds" for claim in CLAIMS}


def layer(kind, padding, errors, stride=1):
    """Errors `[whole, interior]` by shift, 1 and 4, of two seeds."""
    return {"kind": kind, "padding": padding, "stride": stride, "errors": [errors, errors]}


def network(stride, change, accuracy):
    run = {"change": change, "accuracy": accuracy, "same": [0.9, 0.8]}
    other = {**run, "accuracy": [a + 0.001 for a in accuracy]}
    runs = [{"before": run, "after": run}, {"before": run, "after": other}]
    return {"stride": stride, "runs": runs * 2}


DATA = {
    "shifts": [1, 4],
    "layers": {
        "convolution, circular": layer("convolution", "circular", [[1e-7, 0.0], [0.0, 0.0]]),
        "convolution, zeros": layer("convolution", "zeros", [[0.6, 1e-7], [0.7, None]]),
        "stride 4": layer("strided", "circular", [[1.2, 1.2], [1e-7, 1e-7]], stride=4),
        "dense": layer("unshared", "none", [[0.9, 0.9], [1.1, 0.8]]),
        "group norm": layer("norm", "none", [[1e-7, 1e-7], [0.0, 0.0]]),
    },
    "global": [{"avg": [1e-7, 0.0], "max": [0.0, 0.0]}] * 2,
    "peaks": [0, 576],
    "pooled": {
        "no pooling": [[0.5, 0.6, 0.7, 0.55], [0.9] * 4],
        "max-pooling": [[0.3, 0.4, 0.45, 0.3], [0.9] * 4],
    },
    "networks": {
        EXACT: network(1, [1e-7, 1e-7], [0.8, 0.8, 0.8]),
        CIRCULAR: network(4, [0.2, 1e-7], [0.85, 0.84, 0.85]),
        ZEROS: network(4, [0.2, 0.3], [0.86, 0.85, 0.8]),
        FLAT: network(4, [0.5, 0.9], [0.88, 0.8, 0.4]),
    },
}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny(
        "equivariance",
        *("shifts=[2,4]", "seeds=1", "dataset=digits", "steps=2", "batch_size=8", "images=16"),
        *("pool_images=16", "map_shift=2"),
    )
    found = {c["name"]: c["verdict"] for c in result["claims"]}
    del found["accuracy"]  # nothing is learned in two steps
    assert found == {name: RIGHT[name] for name in found}
    layers = result["data"]["layers"]
    assert layers["stride 2, circular"]["errors"][0][0][0] < 1e-5
    assert layers["stride 3, circular"]["errors"][0][0][0] > 0.1


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^shifts: expected a multiple of 4"):
        tiny("equivariance", "shifts=[1,2]")
    with pytest.raises(ConfigError, match=r"^seeds: expected a whole number >= 1"):
        tiny("equivariance", "seeds=0")


def test_the_judge():
    assert verdicts(DATA) == RIGHT
    assert losses(DATA["networks"][FLAT]["runs"])[0] == pytest.approx(0.28)


@pytest.mark.parametrize(
    "claim, path, value",
    [
        ("as_printed", ("layers", "convolution, zeros", "errors"), [[[0.0, 0.0], [0.0, None]]]),
        ("inside", ("layers", "convolution, circular", "errors", 1, 0, 0), 0.1),
        ("inside", ("layers", "convolution, zeros", "errors", 0, 0, 1), 0.1),
        ("unshared", ("layers", "dense", "errors", 0, 1, 0), 1e-7),
        ("strided_as_printed", ("layers", "stride 4", "errors"), [[[0.0, 0.0], [0.0, 0.0]]]),
        ("strided", ("layers", "stride 4", "errors", 0, 1, 0), 0.1),
        ("global_pooling", ("global", 1, "max", 1), 0.1),
        ("peak", ("peaks", 0), 1),
        ("partial", ("pooled", "max-pooling", 0), [0.9, 0.9, 0.9, 0.95]),
        ("network_as_printed", ("networks", ZEROS), network(4, [0.0, 0.0], [0.8, 0.8, 0.8])),
        ("network_exact", ("networks", EXACT, "runs", 0, "before", "change", 0), 0.1),
        ("network_exact", ("networks", CIRCULAR, "runs", 0, "after", "change", 1), 0.1),
        ("accuracy", ("networks", FLAT), network(4, [0.5, 0.9], [0.88, 0.87, 0.87])),
    ],
)
def test_the_judge_the_other_way(claim, path, value):
    other = {"holds": "fails", "fails": "holds"}
    assert verdicts(changed(DATA, path, value))[claim] == other[RIGHT[claim]]


def test_a_difference_that_straddles_zero_is_inconclusive():
    data = copy.deepcopy(DATA)
    data["pooled"]["max-pooling"][0] = [0.3, 0.8, 0.5, 0.6]
    assert verdicts(data)["partial"] == "inconclusive"
