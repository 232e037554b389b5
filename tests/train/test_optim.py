"""Optimizers: against plain loops; decay of kernels only, clipping, accumulation, freezing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnlab.train import optim
from cnnlab.train.schedules import constant, onecycle

RULES = {
    "sgd": optim.sgd,
    "adam": optim.adam,
    "adamw": optim.adamw,
    "lion": optim.lion,
    "muon": optim.muon,
    "adafactor": optim.adafactor,
}
PARAMS = {"weight": jnp.linspace(-1.0, 1.0, 3 * 3 * 2 * 4).reshape(3, 3, 2, 4), "bias": jnp.ones(4)}


def run(rule, grads, params):
    @jax.jit
    def step(g, state, params):
        updates, state = rule.update(g, state, params)
        return optax.apply_updates(params, updates), state

    state = jax.jit(rule.init)(params)
    for g in grads:
        params, state = step(g, state, params)
    return params


@pytest.mark.parametrize("name", RULES)
def test_decay_touches_kernels_only(name):
    rule = RULES[name](constant(10), lr=0.1, weight_decay=0.5)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    after = run(rule, [zero], PARAMS)
    np.testing.assert_array_equal(after["bias"], PARAMS["bias"])
    assert float(jnp.linalg.norm(after["weight"])) < 0.99 * float(jnp.linalg.norm(PARAMS["weight"]))


@pytest.mark.parametrize("name", RULES)
def test_every_rule_descends(name):
    def loss(p):
        return jnp.sum((p["weight"] - 0.3) ** 2) + jnp.sum((p["bias"] + 0.2) ** 2)

    rates = {"lr": 0.2, "adam_lr": 0.05} if name == "muon" else {"lr": 0.05}
    rule = RULES[name](onecycle(60), weight_decay=0.0, **rates)
    state, params = rule.init(PARAMS), PARAMS

    @jax.jit
    def step(params, state):
        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(60):
        params, state = step(params, state)
    assert float(loss(params)) < 0.5 * float(loss(PARAMS))


def test_sgd_is_nesterov_with_l2():
    grads = [jax.tree.map(lambda p, i=i: jnp.full(p.shape, 0.1 * i), PARAMS) for i in (1, 2, 3)]
    got = run(optim.sgd(constant(3), lr=0.5, momentum=0.9, weight_decay=0.01), grads, PARAMS)
    for name, decay in (("weight", 0.01), ("bias", 0.0)):
        p, v = np.asarray(PARAMS[name], np.float64), 0.0
        for g in grads:
            d = np.asarray(g[name], np.float64) + decay * p
            v = 0.9 * v + d
            p = p - 0.5 * (d + 0.9 * v)
        np.testing.assert_allclose(got[name], p, rtol=1e-5)


def test_clipping_and_accumulation():
    grads = [{"weight": jnp.full((3, 3, 2, 4), g), "bias": jnp.full(4, g)} for g in (1.0, 3.0)]
    plain = optim.sgd(constant(2), lr=0.1, momentum=0.0, weight_decay=0.0)
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *grads)
    expected = run(optim.make_optimizer(plain), [mean], PARAMS)
    got = run(optim.make_optimizer(plain, accumulate=2), grads, PARAMS)
    for name in PARAMS:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6)
    clipped = run(optim.make_optimizer(plain, clip_norm=1.0), [mean], PARAMS)
    norm = float(optax.tree.norm(mean))
    np.testing.assert_allclose(
        clipped["bias"], PARAMS["bias"] - 0.1 * mean["bias"] / norm, rtol=1e-5
    )


def test_the_last_incomplete_accumulation_has_its_own_mean():
    gradients = [jax.tree.map(lambda p, g=g: jnp.full_like(p, g), PARAMS) for g in (1.0, 3.0, 5.0)]
    plain = optim.sgd(constant(2), lr=0.1, momentum=0.0, weight_decay=0.0)
    means = [jax.tree.map(lambda a, b: (a + b) / 2, *gradients[:2]), gradients[2]]
    expected = run(optim.make_optimizer(plain), means, PARAMS)
    got = run(optim.make_optimizer(plain, accumulate=2, steps=3), gradients, PARAMS)
    for name in PARAMS:
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6)


def test_frozen_parameters_stay_to_the_bit():
    rule = optim.make_optimizer(
        optim.adamw(constant(3), lr=0.1), trainable={"weight": False, "bias": True}
    )
    ones = jax.tree.map(jnp.ones_like, PARAMS)
    after = run(rule, [ones, ones], PARAMS)
    np.testing.assert_array_equal(after["weight"], PARAMS["weight"])
    assert np.all(np.asarray(after["bias"]) < np.asarray(PARAMS["bias"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.sgd(constant(2), lr=-1.0), "^lr: expected a rate > 0, got -1.0"),
        (lambda: optim.sgd(constant(2), momentum=1.0), "^momentum: expected a number in"),
        (lambda: optim.adamw(constant(2), weight_decay=-0.1), "^weight_decay: expected"),
        (lambda: optim.make_optimizer(optax.sgd(1.0), clip_norm=0.0), "^clip_norm: expected"),
        (lambda: optim.make_optimizer(optax.sgd(1.0), accumulate=0), "^accumulate: expected"),
    ],
)
def test_bad_values(make, message):
    with pytest.raises(ValueError, match=message):
        make()
