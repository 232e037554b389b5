"""The question `sample_efficiency`: nets, search, a tiny scale, verdicts on made-up data."""

import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from experiments.sample_efficiency import nets, question
from experiments.sample_efficiency.search import SizeSearch, power

from cnnlab.config import ConfigError, compose

TINY = (
    "dimensions=[4,8]",
    "seeds=2",
    "repeats={conv:2,local:1,fc_sgd:1,fc_adam:1}",
    "channels=4",
    "test_size=500",
    "per_octave=1",
    "least_steps=40",
    "epochs=1",
)


def test_tiny(tiny):
    data = tiny("sample_efficiency", *TINY)["data"]
    keys = [(d, net, seed) for d in (4, 8) for net in nets.NETS for seed in (0, 1)]
    of = lambda row: (row["d"], row["net"], row["seed"])
    targets = ("0.9", "0.95")
    assert [(*of(row), row["target"]) for row in data["needed"]] == [
        (*key, target) for key in keys for target in targets
    ]
    tried = {(*of(row), row["n"]): row["test"] for row in data["tried"]}
    assert {key[:3] for key in tried} == set(keys) and len(tried) == len(data["tried"])
    for row in data["needed"]:
        if row["n"] is not None:
            assert tried[*of(row), row["n"]] >= float(row["target"]) - 1e-6
    for row in data["tried"]:
        assert row["n"] >= 4 and 0 <= row["test"] <= 1 and 0 <= row["training"] <= 1
    # Three weights suffice the convolutional net, even here.
    conv = [row["n"] for row in data["needed"] if (row["net"], row["target"]) == ("conv", "0.9")]
    assert len(conv) == 4 and all(conv)


PLAN = nets.Training(
    batch_size=64, epochs=1, least_steps=30, step=0.5, momentum=0.9, adam_step=0.01
)


def build(net, d, key, *, hidden):
    return nets.build(net, (d, 1), hidden=hidden, channels=4, kernel_size=3, key=key)


@pytest.mark.parametrize(
    ("net", "weights"), [("conv", 4 * 3 + 2 * 4 + 1), ("local", 8 * 4 * 3 + 2 * 4 + 1),
                         ("fc_sgd", 8 * 16 + 16 + 1)]
)  # fmt: skip
def test_the_nets(net, weights):
    """Their number of weights, and that the weights of the task give the task."""
    made = build(net, 8, jr.key(0), hidden=16)
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
    train = nets.trainer(lambda key: build("fc_sgd", 4, key, hidden=8), PLAN, adam=False)
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
    rotation = jnp.linalg.qr(jr.normal(jr.key(5), (4, 4)))[0]
    x = jr.normal(jr.key(0), (1, 200, 4))
    y = jnp.sign(x[..., 0] ** 2 - x[..., 1] ** 2)

    def accuracy(x, x_test, turn):
        def make(key):
            leaves, structure = jax.tree.flatten(build("fc_sgd", 4, key, hidden=8))
            return jax.tree.unflatten(structure, [turn @ leaves[0], *leaves[1:]])

        train = nets.trainer(make, PLAN, adam=False)
        data = (x[..., None], y, x_test[..., None], y)
        return train(jnp.array([0]), *data, jnp.array([200]), jnp.array([30]))

    straight = accuracy(x, x, jnp.eye(4))
    turned = accuracy(x @ rotation.T, x @ rotation.T, rotation)
    np.testing.assert_allclose(straight, turned, atol=0.011)  # two of 200 at the boundary


def test_sharpness_is_the_largest_eigenvalue():
    matrix = jr.normal(jr.key(3), (6, 4))
    found = nets.sharpness(lambda p: matrix @ p, jnp.zeros(4), iterations=200)
    expected = np.linalg.eigvalsh(np.asarray(matrix @ matrix.T)).max() / 6
    assert float(found) == pytest.approx(expected, rel=1e-4)


def runs(exponents, *, fit=1.0):
    """Searches whose n is 30 d^exponent, give or take 2 % a seed."""
    data = {"needed": [], "tried": []}
    for net, exponent in exponents.items():
        for d in (8, 16, 32):
            for seed in range(3):
                of = {"net": net, "d": d, "seed": seed}
                n = 30 * (d / 8) ** exponent * (1 + 0.02 * (seed - 1))
                needed = {"0.9": n / 2, "0.95": n}
                data["needed"] += [of | {"target": t, "n": size} for t, size in needed.items()]
                tried = ((n / 2, 0.93, fit), (n, 0.95, 1.0))
                data["tried"] += [of | {"n": m, "test": a, "training": b} for m, a, b in tried]
    return data


EXPECTED = {"conv": 0.0, "local": 1.0, "fc_sgd": 1.9, "fc_adam": 1.9}
DATA = {"per_octave": 32, **runs(EXPECTED)}


def test_the_judge_where_all_holds(verdicts):
    assert verdicts(question, DATA) == {claim.name: "holds" for claim in question.claims}


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("conv", runs(EXPECTED | {"conv": 0.6})),
        ("fc", runs(EXPECTED | {"fc_sgd": 1.2})),
        ("fc", runs(EXPECTED | {"fc_sgd": 3.0})),
        ("parameters", runs(EXPECTED | {"fc_sgd": 2.1})),
        ("gap", runs(EXPECTED | {"fc_sgd": 0.5, "conv": 1.0})),
        ("fits", runs(EXPECTED, fit=0.9)),
        ("sharing", runs(EXPECTED | {"local": 0.1})),
        ("adam", runs(EXPECTED | {"fc_adam": 0.5})),
    ],
)
def test_the_judge_where_a_claim_fails(verdicts, claim, changes):
    assert verdicts(question, DATA | changes)[claim] == "fails"


@pytest.mark.parametrize("per_octave", [1, 4])
def test_the_interval_of_an_exponent_includes_a_step_of_the_grid(per_octave):
    """Whatever the sizes between two of the grid, the exponent found is within it; at worst by all
    of it."""
    d = [4, 8, 16, 32, 64]
    up = lambda n: 2 ** (math.ceil(round(per_octave * math.log2(n), 9)) / per_octave)
    plain = power(d, [n**2 for n in d])
    assert plain.low == pytest.approx(2) == plain.high
    rng, largest = np.random.default_rng(0), 0.0
    for factors in (*rng.uniform(1, 2, (50, 5)), [1.001, 1.001, 1, 1, 1]):
        true = [f * n**2 for f, n in zip(factors, d, strict=True)]
        found = power(d, [up(n) for n in true], per_octave)
        without = power(d, [up(n) for n in true])
        error = found.high - without.high
        moved = abs(power(d, true).mean - found.mean)
        assert found.low == pytest.approx(without.low - error) and moved <= error
        largest = max(largest, moved / error)
    assert largest > 0.98


def test_a_search_without_an_end_leaves_the_verdict_open():
    data = {**DATA, **runs(EXPECTED)}
    for row in data["needed"]:
        if (row["net"], row["d"], row["target"]) == ("fc_sgd", 32, "0.95"):
            row["n"] = None
    found = question.judge(data)
    assert {found[name].verdict for name in ("fc", "gap")} == {"inconclusive"}
    assert "3 of 9 searches without an end" in found["fc"].evidence
    assert "never (3)" in str(question.tables(data)[1].rows)


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
        ("step=0", "step: expected a number > 0, got 0"),
        ("momentum=1", "momentum: expected a number from 0 to below 1, got 1"),
    ],
)
def test_bad_settings_are_one_line(override, says):
    with pytest.raises(ConfigError) as caught:
        question.check_settings(compose([override], "sample_efficiency"))
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)


def learner(thresholds, asked=None):
    """Seeds whose accuracy is 1 - threshold / (20 n): 95 % at n = threshold."""

    def measure(sizes):
        if asked is not None:
            asked.append(list(sizes))
        return [1 - t / (20 * n) if n else math.nan for t, n in zip(thresholds, sizes, strict=True)]

    return measure


def walk(threshold, target, least, most, per_octave):
    """Every size of the grid, from the smallest."""
    for k in range(100 * per_octave):
        n = round(2 ** (k / per_octave))
        if least <= n <= most and 1 - threshold / (20 * n) >= target:
            return n
    return None


@pytest.mark.parametrize("per_octave", [1, 4])
@pytest.mark.parametrize("start", [8, 100, 5000])
def test_the_search_finds_what_a_walk_finds(start, per_octave):
    thresholds = [3, 8, 9, 40, 333, 1000, 2000, 90_000]
    asked = []
    search = SizeSearch(
        learner(thresholds, asked), len(thresholds), most=2048, per_octave=per_octave
    )
    for target in (0.9, 0.95):
        expected = [walk(t, target, 8, 2048, per_octave) for t in thresholds]
        assert search.smallest(target, start) == expected
    assert expected[0] == 8 and expected[-1] is None
    # Far fewer than the grid has, and no size twice.
    assert len(asked) <= 2 * 12
    for i, known in enumerate(search.known):
        sizes = [row[i] for row in asked if row[i]]
        assert len(sizes) == len(set(sizes)) == len(known)
        assert all(8 <= n <= 2048 for n in sizes)


def test_what_is_known_serves_another_target():
    asked = []
    search = SizeSearch(learner([100], asked), 1, most=4096)
    assert search.smallest(0.95, 64) == [108]
    rounds = len(asked)
    assert search.smallest(0.95, 64) == [108] and len(asked) == rounds


def test_an_accuracy_that_dips_ends_all_the_same():
    values = {16: 0.9, 32: 0.97, 19: 0.99, 23: 0.1, 27: 0.1}
    search = SizeSearch(lambda sizes: [values.get(n, 0.0) for n in sizes], 1, most=64)
    assert search.smallest(0.95, 16) == [32]


def test_bad_bounds():
    with pytest.raises(ValueError, match="least, most: expected 2 <= least <= most, got 8, 4"):
        SizeSearch(learner([1]), 1, most=4)
