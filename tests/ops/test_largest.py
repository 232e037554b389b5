"""Max-pooling's primitives: with the engine and without, batched, on two devices, of any order."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from ops_reference import normal

from cnnlab import ops
from cnnlab.ops.largest import MAX_ENTRIES
from cnnlab.ops.native import ENGINE

REASON = ENGINE.refusal()
BOTH = [
    pytest.param(
        contextlib.nullcontext,
        marks=pytest.mark.skipif(REASON is not None, reason=f"no native engine: {REASON}"),
        id="native",
    ),
    pytest.param(ENGINE.disabled, id="jax"),
]
# shape without the batch, window, stride, padding on each side
CASES = [
    ((9, 8, 67), (3, 3), 2, [(1, 1), (0, 1)]),
    ((7, 5, 3), (2, 3), 1, [(0, 0), (2, 1)]),
    ((6, 9, 130), (2, 2), None, "VALID"),
    ((11, 4), (3,), 4, "VALID"),
    ((5, 4, 6, 2), (2, 3, 2), (2, 1, 3), "SAME"),
    ((17, 9, 2), (9, 8), 1, "VALID"),
]


def pool(case):
    _, window, stride, padding = case
    return lambda x: ops.max_pool(x, window, stride, padding)


def by_lax(case):
    """The same as XLA has it, whose gradient is `select_and_scatter`."""
    (*spatial, _), window, stride, padding = case
    stride = ops.to_tuple("stride", window if stride is None else stride, len(window))
    pads = ops.resolve_padding(padding, spatial, window, stride)
    sizes = (1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0))
    return lambda x: lax.reduce_window(x, -jnp.inf, lax.max, *sizes)


@pytest.mark.parametrize("engine", BOTH)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_value_and_gradient_are_xla_s(engine, case):
    x = normal(3, *case[0])

    @jax.jit
    def run(x):
        y, vjp = jax.vjp(pool(case), x)
        expected, expected_vjp = jax.vjp(by_lax(case), x)
        return (y, *vjp(jnp.cos(y))), (expected, *expected_vjp(jnp.cos(y)))

    with engine():
        (y, dx), (expected, expected_dx) = run(x)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", BOTH)
def test_ties_and_what_is_not_a_number(engine):
    x = jnp.array([1.0, 2, 2, jnp.nan, 5, jnp.nan, -jnp.inf, -jnp.inf])[:, None]
    run = jax.jit(lambda x: jax.vjp(lambda x: ops.max_pool(x, (4,), 2), x)[1](jnp.ones((3, 1))))
    with engine():
        (dx,) = run(x)
        y = jax.jit(lambda x: ops.max_pool(x, (4,), 2))(x)
        first = jax.jit(jax.grad(lambda x: ops.max_pool(x, (3,), 1).sum()))(jnp.ones((5, 1)))
    assert np.isnan(y).all()
    assert dx.sum() == 3 and np.isfinite(dx).all()
    np.testing.assert_array_equal(first[:, 0], [1, 1, 1, 0, 0])


def test_a_window_of_many_entries_is_xla_s():
    assert MAX_ENTRIES == 64
    text = lambda *window: str(jax.make_jaxpr(lambda x: ops.max_pool(x, window))(normal(18, 18, 1)))
    assert "reduce_window" in text(13, 5) and "reduce_window" not in text(8, 8)


@pytest.mark.parametrize("engine", BOTH)
def test_vmap_over_anything(engine):
    x, v = normal(2, 5, 6, 6, 3), normal(2, 5, 6, 6, 3, seed=1)
    loss = lambda x: jnp.sum(ops.max_pool(x, (2, 2), 1) ** 3)
    both = lambda x, v: jax.jvp(jax.grad(loss), (x,), (v,))[1]
    over = jax.vmap(jax.vmap(both, (0, None)), (None, 0))  # all of x with all of v
    with engine():
        got = jax.jit(over)(x[0], v[1])
        expected = jax.jit(
            lambda: jnp.stack([jnp.stack([both(a, b) for a in x[0]]) for b in v[1]])
        )()
        none = jax.jit(pool(CASES[1]))(jnp.zeros((0, 7, 5, 3)))
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert none.shape == (0, 6, 6, 3)


CASE = CASES[0]


def step(x, dy):
    y, vjp = jax.vjp(pool(CASE), x)
    return y, vjp(dy)[0]


@pytest.fixture(scope="module")
def one_device():
    x = normal(8, *CASE[0])
    dy = normal(*pool(CASE)(x).shape, seed=1)
    return (x, dy), jax.device_get(jax.jit(step)(x, dy))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("engine", BOTH)
def test_sharded_jit_keeps_the_batch_where_it_is(one_device, engine, kind):
    args, expected = one_device
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(kind,))
    args = [jax.device_put(v, NamedSharding(mesh, P("batch"))) for v in args]
    with engine(), jax.set_mesh(mesh):
        run = jax.jit(lambda *args: step(*args)).lower(*args).compile()
        got = run(*args)
    assert "all-gather" not in run.as_text()
    for a, b in zip(got, expected, strict=True):
        assert a.sharding.shard_shape(a.shape) == (4, *a.shape[1:])
        np.testing.assert_allclose(a, b, rtol=2e-6)


@pytest.mark.parametrize("engine", BOTH)
def test_shard_map_and_pmap(one_device, engine):
    args, expected = one_device
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
    half = lambda v: v.reshape(2, 4, *v.shape[1:])
    with engine():
        run = lambda *args: step(*args)
        mapped = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=P("batch"), out_specs=P("batch")))
        got = [mapped(*args), jax.pmap(run)(*map(half, args))]
    for result in got:
        for a, b in zip(result, expected, strict=True):
            np.testing.assert_allclose(a.reshape(b.shape), b, rtol=2e-6)
