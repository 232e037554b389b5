"""The question `mnist1d`: its networks, a tiny scale, and its judge on made-up data."""

import copy

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from experiments.mnist1d import LOG, ORDERS, TABLE, question
from experiments.mnist1d.networks import GRU, NETS, flat, start

from cnnlab.config import ConfigError, compose


def made_up(accuracy, n=5):
    """Data whose runs have the means `accuracy[order][net]` in %, and a deviation of 0.1."""
    return {
        "tested": [250, 500],
        "parameters": dict.fromkeys(accuracy["plain"], 1),
        "runs": [
            {"net": net, "order": order, "seed": seed, "accuracy": value, "curve": [0.1, value]}
            for net in accuracy["plain"]
            for order in ORDERS
            for seed, value in enumerate(accuracy[order][net] / 100 + 0.001 * np.linspace(-1, 1, n))
        ],
    }


def test_tiny(tiny):
    data = tiny("mnist1d", "seeds=2", "gru_seeds=2", "steps=4", "every=2")["data"]
    assert data["parameters"] == {"linear": 410, "mlp": 15210, "cnn": 5210, "gru": 5110}
    assert data["tested"] == [2, 4]
    found = [(run["net"], run["order"], run["seed"]) for run in data["runs"]]
    assert found == [(net, order, seed) for net in NETS for order in ORDERS for seed in (0, 1)]
    for run in data["runs"]:
        assert len(run["curve"]) == 2 and run["curve"][-1] == run["accuracy"]
    plain, shuffled = ([r["curve"] for r in data["runs"] if r["order"] == o] for o in ORDERS)
    assert plain != shuffled


def test_all_examples_are_trained_on():
    assert compose([], "mnist1d").data.val_fraction == 0
    assert compose(["data.val_fraction=0.5"], "mnist1d").data.val_fraction == 0.5


@pytest.mark.parametrize("net", NETS)
def test_starts_as_pytorch_does(net, getkey):
    model = flat(net, 40, 10)[0](start(net, 40, 10, getkey()))
    assert model(jnp.zeros((3, 40))).shape == (3, 10)
    last = {"linear": [model], "mlp": []}.get(net, [getattr(model, "linear", None)])
    for layer in (*getattr(model, "layers", ()), *last):
        limit = 1 / np.sqrt(np.prod(layer.weight.shape[:-1]))
        for values in (layer.weight, layer.bias):
            assert np.abs(values).max() <= limit
        assert np.std(layer.weight) == pytest.approx(limit / np.sqrt(3), rel=0.1)


def test_the_gru_is_a_loop_over_time_in_both_directions(getkey):
    model = GRU(7, 3, key=getkey())
    x = jr.normal(getkey(), (2, 7))

    def features(cell, value, times):
        h, found = jnp.zeros(6), {}
        for t in times:
            h = found[t] = cell(value[t : t + 1], h)
        return [found[t] for t in range(7)]

    for value, logits in zip(x, model(x), strict=True):
        cells = [_cell(model.cells, i) for i in range(2)]
        forward = features(cells[0], value, range(7))
        backward = features(cells[1], value, range(6, -1, -1))
        flat = jnp.concatenate([v for pair in zip(forward, backward, strict=True) for v in pair])
        np.testing.assert_allclose(logits, model.linear(flat), rtol=1e-4, atol=1e-5)


def _cell(cells, i):
    arrays, static = eqx.partition(cells, eqx.is_array)
    return eqx.combine(eqx.tree_at(_leaves, arrays, [v[i] for v in _leaves(arrays)]), static)


def _leaves(cells):
    return [cells.weight_ih, cells.weight_hh, cells.bias, cells.bias_n]


def test_the_judge(verdicts):
    assert verdicts(question, made_up(TABLE)) == {
        "plain": "holds", "shuffled": "holds", "table_of_best": "holds", "log": "fails",
        "locality": "holds",
        "no_locality": "holds", "blind": "holds",
    }  # fmt: skip
    assert verdicts(question, made_up(LOG)) == {
        "plain": "fails", "shuffled": "fails", "table_of_best": "fails", "log": "holds",
        "locality": "holds",
        "no_locality": "holds", "blind": "holds",
    }  # fmt: skip
    other = copy.deepcopy(TABLE)
    other["plain"]["cnn"], other["shuffled"]["cnn"], other["shuffled"]["mlp"] = 60, 70, 60
    found = verdicts(question, made_up(other))
    assert (found["locality"], found["no_locality"], found["blind"]) == ("fails",) * 3


def test_too_little_to_judge_by(verdicts):
    one = made_up(TABLE, n=1)
    assert set(verdicts(question, one).values()) == {"inconclusive"}
    linear = made_up({order: {"linear": 32} for order in ORDERS})
    assert verdicts(question, linear) == {
        "plain": "inconclusive", "shuffled": "inconclusive", "table_of_best": "inconclusive",
        "log": "inconclusive",
        "locality": "inconclusive", "no_locality": "inconclusive", "blind": "holds",
    }  # fmt: skip
    assert question.tables(linear)[0].rows and len(question.draw(one)) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [("nets=[mlp,lstm]", r"nets\[1\]"), ("seeds=0", "seeds"), ("every=7", "every")],
)
def test_bad_settings_are_refused(override, message):
    with pytest.raises(ConfigError, match=f"^{message}: expected"):
        question.check_settings(compose([override], "mnist1d"))
