"""The question `sample_efficiency`: at a tiny scale, its nets, and its judge on made-up data."""

import copy
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab.config import ConfigError, compose
from experiments import _sample_efficiency as nets
from experiments.sample_efficiency import QUESTION, judge

TINY = (
    "dimensions=[4,8]",
    "seeds=2",
    "repeats={conv:2,local:1,fc_sgd:1,fc_adam:1}",
    "channels=4",
    "test_size=500",
    "per_octave=1",
    "least_steps=40",
    "epochs=1",
    "image=[4,4]",
    "image_sizes=[32,64]",
    "image_hidden=8",
    "image_test_size=100",
    "image_seeds=2",
)


def test_tiny(tiny):
    result = tiny("sample_efficiency", *TINY)
    runs = result["data"]["runs"]
    keys = [(run["d"], run["net"], run["seed"]) for run in runs]
    all_nets = ("conv", "local", "fc_sgd", "fc_adam")
    assert keys == [(d, net, s) for d in (4, 8) for net in all_nets for s in (0, 1)]
    for run in runs:
        assert list(run["sizes"]) == ["0.9", "0.95"]
        tried = {n: test for n, test, _ in run["tried"]}
        for target, n in run["sizes"].items():
            if n is not None:
                assert tried[n] >= float(target) - 1e-6
        assert all(n >= 4 and 0 <= test <= 1 and 0 <= fit <= 1 for n, test, fit in run["tried"])
    # Three weights suffice the convolutional net, even here.
    assert all(run["sizes"]["0.9"] for run in runs if run["net"] == "conv")
    assert [len(run["tried"]) for run in result["data"]["images"]] == [2] * 4


def config(*overrides):
    return compose([*TINY, *overrides], "sample_efficiency")


@pytest.mark.parametrize(
    ("net", "weights"), [("conv", 4 * 3 + 2 * 4 + 1), ("local", 8 * 4 * 3 + 2 * 4 + 1),
                         ("fc_sgd", 8 * 16 + 16 + 1)]
)  # fmt: skip
def test_the_nets(net, weights):
    """Their number of weights, and that the weights of the task give the task."""
    made = nets.build(net, (8, 1), config(), hidden=16, key=jr.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == weights
    x = jr.normal(jr.key(1), (5, 8, 1))
    assert made(x).shape == (5,)
    if net == "conv":
        kernel = jnp.zeros((3, 1, 4)).at[1, 0, 0].set(1.0)
        readout = jnp.zeros((8, 1)).at[0].set(1.0).at[4].set(-1.0)
        made = jax.tree.unflatten(jax.tree.structure(made), [kernel, readout, made.readout.bias])
        halves = np.square(np.asarray(x[..., 0])).reshape(5, 2, 4).sum(-1)
        expected = (halves[:, 0] - halves[:, 1]) / math.sqrt(2 * 4)
        np.testing.assert_allclose(made(x), expected, rtol=1e-5, atol=1e-5)


def test_a_seed_learns_from_its_first_examples_and_leaves_the_others():
    cfg = config("least_steps=30")
    make = lambda key: nets.build("fc_sgd", (4, 1), cfg, hidden=8, key=key)
    train = nets.trainer(make, cfg, adam=False)
    x = jr.normal(jr.key(0), (2, 40, 4, 1))
    y = jnp.sign(jr.normal(jr.key(1), (2, 40)))
    spoilt = x.at[:, 20:].set(jnp.nan)
    seeds, n, steps = jnp.array([0, 1]), jnp.array([20, 10]), jnp.array([30, 30])
    want = train(seeds, x, y, x, y, n, steps)
    got = train(seeds, spoilt, y, x, y, n, steps)
    for a, b in zip(want, got, strict=True):
        np.testing.assert_array_equal(a, b)
    # Steps of one seed are its own: the other's count does not change them.
    other = train(seeds, x, y, x, y, n, jnp.array([30, 7]))
    assert other[0][0] == want[0][0] and other[1][0] == want[1][0]


def test_training_with_sgd_is_orthogonally_equivariant_in_effect():
    """Rotated inputs (also the first weights) give the rotated net: the same accuracies."""
    cfg = config("least_steps=30")
    rotation = jnp.linalg.qr(jr.normal(jr.key(5), (4, 4)))[0]
    x = jr.normal(jr.key(0), (1, 200, 4))
    y = jnp.sign(x[..., 0] ** 2 - x[..., 1] ** 2)

    def accuracy(x, x_test, turn):
        def make(key):
            net = nets.build("fc_sgd", (4, 1), cfg, hidden=8, key=key)
            leaves, structure = jax.tree.flatten(net)
            return jax.tree.unflatten(structure, [turn @ leaves[0], *leaves[1:]])

        train = nets.trainer(make, cfg, adam=False)
        data = (x[..., None], y, x_test[..., None], y)
        return train(jnp.array([0]), *data, jnp.array([200]), jnp.array([30]))

    straight = accuracy(x, x, jnp.eye(4))
    turned = accuracy(x @ rotation.T, x @ rotation.T, rotation)
    np.testing.assert_allclose(straight, turned, atol=0.011)  # two of 200 at the boundary


def test_sharpness_is_the_largest_eigenvalue():
    matrix = jr.normal(jr.key(3), (6, 4))
    found = nets._sharpness(lambda p: matrix @ p, jnp.zeros(4), iterations=200)
    expected = np.linalg.eigvalsh(np.asarray(matrix @ matrix.T)).max() / 6
    assert float(found) == pytest.approx(expected, rel=1e-4)


def runs(exponents, *, fit=1.0, seeds=3):
    """Searches whose n is 30 d^exponent, give or take 2 % a seed."""
    made = []
    for net, power in exponents.items():
        for d in (8, 16, 32):
            for seed in range(seeds):
                n = 30 * (d / 8) ** power * (1 + 0.02 * (seed - 1))
                tried = [[n / 2, 0.93, fit], [n, 0.95, 1.0]]
                made.append({"net": net, "d": d, "seed": seed,
                             "sizes": {"0.9": n / 2, "0.95": n}, "tried": tried})  # fmt: skip
    return made


def images(conv, fc):
    return [
        {"net": net, "seed": seed, "tried": [[64, a + 0.001 * seed, 1.0], [128, a, 1.0]]}
        for net, a in (("conv", conv), ("fc_sgd", fc))
        for seed in (0, 1, 2)
    ]


EXPECTED = {"conv": 0.0, "local": 1.0, "fc_sgd": 2.0, "fc_adam": 1.9}
DATA = {
    "targets": ["0.9", "0.95"],
    "image": [4, 4],
    "runs": runs(EXPECTED),
    "images": images(0.9, 0.5),
}


def verdicts(**changes):
    return {name: verdict.verdict for name, verdict in judge(DATA | changes).items()}


def test_the_judge_where_all_holds():
    assert verdicts() == {claim.name: "holds" for claim in QUESTION.claims}


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("conv", {"runs": runs(EXPECTED | {"conv": 0.6})}),
        ("fc", {"runs": runs(EXPECTED | {"fc_sgd": 1.2})}),
        ("fc", {"runs": runs(EXPECTED | {"fc_sgd": 3.0})}),
        ("gap", {"runs": runs(EXPECTED | {"fc_sgd": 0.5, "conv": 1.0})}),
        ("fits", {"runs": runs(EXPECTED, fit=0.9)}),
        ("sharing", {"runs": runs(EXPECTED | {"local": 0.1})}),
        ("adam", {"runs": runs(EXPECTED | {"fc_adam": 0.5})}),
        ("images", {"images": images(0.5, 0.6)}),
    ],
)
def test_the_judge_where_a_claim_fails(claim, changes):
    assert verdicts(**changes)[claim] == "fails"


def test_a_search_without_an_end_leaves_the_verdict_open():
    data = copy.deepcopy(DATA)
    for run in data["runs"]:
        if run["net"] == "fc_sgd" and run["d"] == 32:
            run["sizes"]["0.95"] = None
    found = judge(data)
    assert {found[name].verdict for name in ("fc", "gap")} == {"inconclusive"}
    assert "3 of 9 searches without an end" in found["fc"].evidence
    assert "never (3)" in str(QUESTION.tables(data)[1].rows)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "dimensions=[8]",
            "dimensions: expected a list of at least 2 different even whole numbers >= 4, got",
        ),
        ("dimensions=[7,8]", "dimensions[0]: expected"),
        ("targets=[0.9]", "targets: expected 0.95 among them"),
        ("seeds=0", "seeds: expected a whole number >= 1, got 0"),
        (
            "repeats.conv=0",
            "repeats.conv: expected a whole number >= 1, got 0",
        ),
        ("image=[8]", "image: expected a list of 2 whole numbers"),
        ("image_sizes=[]", "image_sizes: expected a list of at least 1 whole"),
        ("step=0", "step: expected a number > 0, got 0"),
        ("momentum=1", "momentum: expected a number from 0 to below 1, got 1"),
    ],
)
def test_bad_settings_are_one_line(override, says):
    with pytest.raises(ConfigError) as caught:
        QUESTION.check(compose([override], "sample_efficiency"))
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)
