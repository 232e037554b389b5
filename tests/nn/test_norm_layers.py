"""Normalisation: replicas, precision, modes; values are compared in test_torch_layers."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from cnnlab import nn


@pytest.fixture
def batch_norm(normal):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(3)
    values = (normal(3), normal(3))
    return eqx.tree_at(lambda m: (m.weight, m.bias), layer, values), state


def step(static, params, state, x, cotangent):
    """(output, gradients of the mean loss over replicas, gradient of x, running statistics)."""

    def loss(params, x):
        layer = eqx.combine(params, static)
        y, new = layer(x, state)
        return jnp.mean(y * cotangent), (y, new.get(layer.running_mean), new.get(layer.running_var))

    (grads, x_grad), (y, *running) = jax.grad(loss, argnums=(0, 1), has_aux=True)(params, x)
    return y, x_grad, nn.pmean(grads), running


def replicated(how, fn):
    """`fn(params, state, x, cotangent)` with the leading axis of the last two split in two."""
    split = lambda a: a.reshape(2, -1, *a.shape[1:])
    join = lambda a: a.reshape(-1, *a.shape[2:])
    if how == "shard_map":
        mesh = Mesh(np.array(jax.devices()[:2]), (nn.AXIS,))
        rows, whole = PartitionSpec(nn.AXIS), PartitionSpec()
        # Without the check, gradients are per replica, as they are under pmap and vmap.
        return jax.jit(
            jax.shard_map(
                fn,
                mesh=mesh,
                in_specs=(whole, whole, rows, rows),
                out_specs=(rows, rows, whole, whole),
                check_vma=False,
            )
        )
    wrap = {"pmap": jax.pmap, "vmap": lambda *a, **kw: jax.jit(jax.vmap(*a, **kw))}[how]
    axes = {"in_axes": (None, None, 0, 0), "out_axes": (0, 0, None, None)}
    mapped = wrap(fn, axis_name=nn.AXIS, **axes)

    def call(params, state, x, cotangent):
        y, x_grad, grads, running = mapped(params, state, split(x), split(cotangent))
        return join(y), join(x_grad), grads, running

    return call


@pytest.mark.parametrize("how", ["pmap", "shard_map", "vmap"])
def test_two_replicas_give_what_the_whole_batch_gives(how, batch_norm, normal):
    layer, state = batch_norm
    params, static = eqx.partition(layer, eqx.is_inexact_array)
    # The replicas' means differ, so that statistics that are not shared would show.
    x = normal(4, 3, 2, 3) + np.array([0, 0, 5, 5], np.float32).reshape(4, 1, 1, 1)
    cotangent = normal(4, 3, 2, 3)
    fn = functools.partial(step, static)
    whole = jax.jit(fn)(params, state, x, cotangent)
    parts = replicated(how, fn)(params, state, x, cotangent)
    # Every replica's loss is a mean over half the batch; the gradient of x is not averaged.
    parts = (parts[0], parts[1] / 2, *parts[2:])
    assert jax.tree.structure(whole) == jax.tree.structure(parts)
    for one, two in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


def clone(state):
    leaves, tree = jax.tree.flatten(state)
    return jax.tree.unflatten(tree, leaves)


def test_same_layer_inside_and_outside_of_replicas(batch_norm, normal):
    """A trace made where the axis is not bound must not be used where it is."""
    layer, state = batch_norm
    x = normal(4, 2, 3) + np.array([0, 0, 5, 5], np.float32).reshape(4, 1, 1)
    inner = jax.jit(lambda x: layer(x, clone(state))[0])
    alone = inner(x[:2])
    both = jax.vmap(inner, axis_name=nn.AXIS)(x.reshape(2, 2, 2, 3))
    assert not np.allclose(alone, both[0], atol=0.1)
    np.testing.assert_allclose(both.reshape(x.shape), inner(x), rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_float32_statistics(normal):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(2, momentum=0.0)
    # bfloat16 has 8 bits: sums of 4096 values near 10 would be far off.
    x = (normal(16, 16, 16, 2) + 10).astype(jnp.bfloat16)
    y, state = eqx.filter_jit(layer)(x, state)
    exact = np.asarray(x.astype(jnp.float32), np.float64).reshape(-1, 2)
    mean, var = state.get(layer.running_mean), state.get(layer.running_var)
    assert y.dtype == jnp.bfloat16
    assert mean.dtype == var.dtype == jnp.float32
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(var, exact.var(0, ddof=1), rtol=1e-4)
    evaluated, _ = eqx.filter_eval_shape(eqx.nn.inference_mode(layer), x, state)
    assert evaluated.dtype == jnp.bfloat16


@pytest.mark.parametrize("cls", [nn.GroupNorm, nn.LayerNorm])
def test_bfloat16_of_one_example_is_normalised_in_float32(cls, normal):
    layer = cls(8, *((2,) if cls is nn.GroupNorm else ()))
    x = (normal(2, 32, 32, 8) + 10).astype(jnp.bfloat16)
    y = eqx.filter_jit(layer)(x)
    expected = eqx.filter_jit(layer)(x.astype(jnp.float32))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=1e-2, atol=1e-2)


def test_large_means_do_not_cancel_the_variance(run, normal):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(2)
    x = normal(64, 4, 2) + 1000
    y, _ = run(layer, x, state)
    np.testing.assert_allclose(np.asarray(y).reshape(-1, 2).std(0), 1, rtol=1e-2)


def test_nor_do_those_of_replicas(normal):
    """Under shard_map's own check, which has to see that the statistics are the same everywhere."""
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(2, momentum=0.0)
    x = normal(64, 4, 2) + np.linspace(1000, 1001, 64, dtype=np.float32).reshape(64, 1, 1)
    mesh = Mesh(np.array(jax.devices()[:2]), (nn.AXIS,))
    whole, rows = PartitionSpec(), PartitionSpec(nn.AXIS)
    variance = lambda state, x: layer(x, state)[1].get(layer.running_var)
    shared = jax.shard_map(variance, mesh=mesh, in_specs=(whole, rows), out_specs=whole)
    expected = np.asarray(x, np.float64).reshape(-1, 2).var(0, ddof=1)
    np.testing.assert_allclose(jax.jit(shared)(state, x), expected, rtol=1e-4)


def test_derivatives_forward_back_and_second(batch_norm, normal):
    layer, state = batch_norm
    wave, x, way = normal(6, 3), normal(6, 3), normal(6, 3)
    loss = lambda x: jnp.sum(jnp.sin(layer(x, clone(state))[0]) * wave)
    forward = lambda f: jax.jit(lambda x, way: jax.jvp(f, (x,), (way,)))
    with jax.enable_x64(True):
        x, way = jnp.asarray(x, jnp.float64), jnp.asarray(way, jnp.float64)
        back = jax.jit(jax.grad(loss))
        before, after = x - 1e-6 * way, x + 1e-6 * way
        _, slope = forward(loss)(x, way)
        gradient, bend = forward(jax.grad(loss))(x, way)
        np.testing.assert_allclose(slope, (loss(after) - loss(before)) / 2e-6, rtol=1e-6)
        np.testing.assert_allclose(slope, jnp.sum(gradient * way), rtol=1e-10)
        np.testing.assert_allclose(bend, (back(after) - back(before)) / 2e-6, rtol=1e-6)


def test_inference_uses_the_running_statistics_and_leaves_them(batch_norm, run, normal):
    layer, state = batch_norm
    x = normal(4, 5, 3) * 3 + 2
    _, state = run(layer, x, state)
    mean, var = (np.asarray(state.get(i)) for i in (layer.running_mean, layer.running_var))
    np.testing.assert_allclose(mean, 0.1 * x.reshape(-1, 3).mean(0), rtol=1e-4)
    np.testing.assert_allclose(var, 0.9 + 0.1 * x.reshape(-1, 3).var(0, ddof=1), rtol=1e-4)

    evaluated = eqx.nn.inference_mode(layer)
    y, after = run(evaluated, x, state)
    expected = (x - mean) / np.sqrt(var + 1e-5) * np.asarray(layer.weight) + np.asarray(layer.bias)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert bool(eqx.tree_equal(after, state))
    again = eqx.nn.inference_mode(evaluated, value=False)
    assert not np.allclose(run(again, x, after)[0], y)


def test_options_leave_parameters_out(run, normal):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(3, use_weight=False, use_bias=False)
    assert jax.tree.leaves(eqx.filter(layer, eqx.is_inexact_array)) == []
    y, _ = run(layer, normal(8, 3) * 4 + 1, state)
    np.testing.assert_allclose(np.asarray(y).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.asarray(y).std(0), 1, rtol=1e-3)
    assert nn.GroupNorm(4, 2, use_bias=False).bias is None
    assert nn.LayerNorm(4, use_weight=False).weight is None


def test_one_value_a_channel_is_finite(run):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(2)
    y, state = run(layer, jnp.ones((1, 2)), state)
    assert bool(jnp.isfinite(y).all())
    assert bool(jnp.isfinite(state.get(layer.running_var)).all())


def test_vmap_gives_what_a_batch_gives(run, normal):
    x = normal(3, 4, 5, 6)
    for layer in (nn.GroupNorm(6, 3), nn.LayerNorm(6)):
        np.testing.assert_allclose(run(layer, x), run(jax.vmap(layer), x), rtol=1e-4, atol=1e-5)


def test_evaluation_does_not_retrace(batch_norm, normal):
    layer, state = batch_norm
    traces = 0

    @eqx.filter_jit
    def call(layer, x, state):
        nonlocal traces
        traces += 1
        return layer(x, state)

    for _ in range(3):
        _, state = call(layer, normal(4, 3), state)
        call(eqx.nn.inference_mode(layer), normal(4, 3), state)
    assert traces == 2
