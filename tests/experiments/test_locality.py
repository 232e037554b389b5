"""The question `locality`: at a tiny scale, and its judge on made-up data."""

import pytest
from made_up import changed

from cnnlab.config import ConfigError
from experiments.locality import CLAIMS, FFT, SAMPLED, judge

# Verdicts where the layers are as they should be: two sentences fail as printed.
RIGHT = {
    "patch": "holds",
    "local": "holds",
    "dense": "holds",
    "dense_as_printed": "fails",
    "dense_radius": "holds",
    "same_function": "fails",
    "shared_function": "holds",
    "pooling": "holds",
    "fourier": "holds",
}


def layer(radius, expected, **more):
    row = {"radius": radius, "expected": expected, "full": True, "farthest": 4.0, "share": 0.5}
    return [{**row, "unlike_patch": 0, "compared": 625, "outside": 0.0, **more}]


DATA = {
    "layers": {
        "dense": layer(4.0, None),
        "convolution 3x3": layer(1.0, 1.0),
        "convolution 3x3, dilation 2": layer(2.0, 2.0, full=False, unlike_patch=400),
        FFT: layer(1.0, 1.0, outside=1e-7),
    },
    "equal_patches": {SAMPLED[0]: [1e-8, 0.0], SAMPLED[1]: [1.5, 2.0]},
    "dense_zeros": [[0, 100], [0, 100]],
    "pooling": [[0, 50], [0, 50]],
}


def verdicts(data):
    return {name: verdict.verdict for name, verdict in judge(data).items()}


def test_tiny(tiny):
    result = tiny("locality", "size=5", "kernels=[3]")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == RIGHT
    radii = {name: rows[0]["radius"] for name, rows in result["data"]["layers"].items()}
    assert radii["group norm"] == radii["dense"] == 4
    assert radii["max-pooling 2x2"] == 0.5


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^size: expected an odd"):
        tiny("locality", "size=6")
    with pytest.raises(ConfigError, match=r"^kernels\[1\]: expected an odd"):
        tiny("locality", "kernels=[3,4]")
    with pytest.raises(ConfigError, match=r"^kernels: expected 3 among them"):
        tiny("locality", "kernels=[5]")


def test_the_judge():
    assert verdicts(DATA) == RIGHT
    assert list(RIGHT) == [c.name for c in CLAIMS]


@pytest.mark.parametrize(
    "claim, path, value",
    [
        ("patch", ("layers", "convolution 3x3", 0, "unlike_patch"), 1),
        ("patch", ("layers", FFT, 0, "unlike_patch"), 1),
        ("local", ("layers", "convolution 3x3, dilation 2", 0, "radius"), 3.0),
        ("dense", ("dense_zeros", 1, 0), 1),
        ("dense_as_printed", ("layers", "dense", 0, "radius"), 5.0),
        ("dense_radius", ("layers", "dense", 0, "radius"), 3.0),
        ("same_function", ("equal_patches", SAMPLED[1]), [0.0]),
        ("shared_function", ("equal_patches", SAMPLED[0], 1), 0.1),
        ("pooling", ("pooling", 0, 0), 2),
        ("fourier", ("layers", FFT, 0, "outside"), 1e-3),
    ],
)
def test_the_judge_the_other_way(claim, path, value):
    other = {"holds": "fails", "fails": "holds"}
    assert verdicts(changed(DATA, path, value))[claim] == other[RIGHT[claim]]
