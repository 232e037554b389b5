"""The question `locality`: at a tiny scale, its parts against loops, its judge on made-up data."""

import itertools

import jax
import numpy as np
import pytest
from experiments.locality import question
from experiments.locality.layers import (
    CONVOLUTION,
    FFT,
    LOCAL,
    Layer,
    distances,
    random_inputs,
    reach,
    strength,
)
from made_up import changed

from cnnlab import ops
from cnnlab.analysis.fields import Field
from cnnlab.config import ConfigError

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


def layer(name, radius, expected, **more):
    row = {"layer": name, "radius": radius, "expected": expected, "full": True, "farthest": 4.0}
    return row | {"share": 0.5, "unlike_patch": 0, "compared": 625, "outside": 0.0} | more


DATA = {
    "layers": [
        layer("dense", 4.0, None),
        layer(CONVOLUTION, 1.0, 1.0),
        layer("convolution 3x3, dilation 2", 2.0, 2.0, full=False, unlike_patch=400),
        layer(FFT, 1.0, 1.0, outside=1e-7),
    ],
    "equal_patches": [
        *({"layer": CONVOLUTION, "unlike": error} for error in (1e-8, 0.0)),
        *({"layer": LOCAL, "unlike": error} for error in (1.5, 2.0)),
    ],
    "dense": [{"zeros": 0, "compared": 100}, {"zeros": 0, "compared": 100}],
    "pooling": [{"unlike": 0, "compared": 50}, {"unlike": 0, "compared": 50}],
}


def test_tiny(tiny):
    result = tiny("locality", "size=5", "kernels=[3]")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == RIGHT
    radii = {row["layer"]: row["radius"] for row in result["data"]["layers"]}
    assert radii["group norm"] == radii["dense"] == 4
    assert radii["max-pooling 2x2"] == 0.5


def test_refusals(tiny):
    with pytest.raises(ConfigError, match=r"^size: expected an odd"):
        tiny("locality", "size=6")
    with pytest.raises(ConfigError, match=r"^kernels\[1\]: expected an odd"):
        tiny("locality", "kernels=[3,4]")
    with pytest.raises(ConfigError, match=r"^kernels: expected 3 among them"):
        tiny("locality", "kernels=[5]")


def test_distances_by_a_loop():
    found = distances((3, 2), (5, 4), Field("", (2, 1), (2, 1), (0, -1)))
    assert found.shape == (3, 2, 5, 4)
    for o in itertools.product(range(3), range(2)):
        for i in itertools.product(range(5), range(4)):
            rows, columns = 0.5 + 2 * o[0] - i[0], -1 + o[1] - i[1]
            assert found[o + i] == max(abs(rows), abs(columns))


def test_a_convolution_reaches_its_radius():
    kernel = jax.device_put(np.random.default_rng(0).uniform(1, 2, (3, 3, 2, 1)).astype(np.float32))
    convolution = lambda x: ops.conv(x, kernel, algorithm="lax")
    found = strength(convolution, random_inputs((6, 5, 2), 1, 0))
    assert found.shape == (6, 5, 6, 5)
    # The middle pixel sees the kernel's weights, in the channel where they are larger.
    np.testing.assert_allclose(found[2, 2, 1:4, 1:4], np.max(kernel, axis=(2, 3)), rtol=1e-6)
    row = reach(Layer(convolution, 1.0), (6, 5, 2), 0)
    assert row["radius"] == 1 and row["unlike_patch"] == row["outside"] == 0
    near, far = dict(row["profile"]), [share for apart, share in row["profile"] if apart > 1]
    assert max(near[0.0], near[1.0]) == 1 and far == [0, 0, 0, 0]
    # What lies beyond a radius that is too small.
    assert reach(Layer(convolution, 0.0), (6, 5, 2), 0)["outside"] > 0.5


def test_a_maximum_needs_many_inputs():
    pool = lambda x: ops.max_pool(x, (2,))
    xs = random_inputs((6, 1), 32, 1)
    assert (strength(pool, xs) > 0).tolist() == [[i // 2 == o for i in range(6)] for o in range(3)]
    assert (strength(pool, xs[:1]) > 0).sum() == 3


def test_the_judge(verdicts):
    assert verdicts(question, DATA) == RIGHT
    assert list(RIGHT) == [c.name for c in question.claims]


@pytest.mark.parametrize(
    "claim, path, value",
    [
        ("patch", ("layers", 1, "unlike_patch"), 1),
        ("patch", ("layers", 3, "unlike_patch"), 1),
        ("local", ("layers", 2, "radius"), 3.0),
        ("dense", ("dense", 1, "zeros"), 1),
        ("dense_as_printed", ("layers", 0, "radius"), 5.0),
        ("dense_radius", ("layers", 0, "radius"), 3.0),
        ("same_function", ("equal_patches",), [{"layer": LOCAL, "unlike": 0.0}]),
        ("shared_function", ("equal_patches", 1, "unlike"), 0.1),
        ("pooling", ("pooling", 0, "unlike"), 2),
        ("fourier", ("layers", 3, "outside"), 1e-3),
    ],
)
def test_the_judge_the_other_way(claim, path, value, verdicts):
    other = {"holds": "fails", "fails": "holds"}
    data = changed(DATA, path, value)
    if claim == "same_function":
        data["equal_patches"] += DATA["equal_patches"][:2]
    assert verdicts(question, data)[claim] == other[RIGHT[claim]]
