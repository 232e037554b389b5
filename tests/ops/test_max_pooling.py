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
    ((17, 18, 2), (9, 16), 1, "VALID"),
    ((18, 19, 2), (13, 2), None, [(0, 0), (1, 0)]),
    ((4, 3, 5, 2, 3), (2, 2, 3, 2), 1, "VALID"),
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
@pytest.mark.parametrize("case", CASES[:4], ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_sixteen_bits_are_float32_s_rounded(engine, case):
    """Whole numbers up to 8 and their sums are exact in both types."""
    x = jnp.round(3 * normal(2, *case[0])).clip(-8, 8)

    def run(x):
        y, vjp = jax.vjp(pool(case), x)
        return y, *vjp(y)

    with engine():
        got = jax.jit(run)(x.astype(jnp.bfloat16))
        expected = jax.jit(run)(x)
    for value, exact in zip(got, expected, strict=True):
        assert value.dtype == jnp.bfloat16
        np.testing.assert_array_equal(value.astype(jnp.float32), exact)


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


INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("engine", BOTH)
@pytest.mark.parametrize(
    ("x", "padding", "largest", "first"),
    [
        ([1, 1, 1, 1], 0, [1, 1], [1, 1, 0, 0]),
        ([1, 2, 2, 0], 0, [2, 2], [0, 2, 0, 0]),
        ([-INF, -INF, -INF], 0, [-INF], [1, 0, 0]),
        ([-3, -1, -2], 1, [-1, -1, -1], [0, 3, 0]),  # padding is not an entry
        ([1, NAN, 5, NAN], 0, [NAN, NAN], [0, 2, 0, 0]),
        ([NAN, 1, 2], 1, [NAN, NAN, 2], [2, 0, 1]),
    ],
)
def test_ties_and_what_is_not_a_number(engine, x, padding, largest, first, dtype):
    x = jnp.array(x, dtype)[:, None]
    run = jax.jit(lambda x: jax.vjp(lambda x: ops.max_pool(x, (3,), 1, padding), x))
    ahead = lambda x: jax.jvp(
        lambda x: ops.max_pool(x, (3,), 1, padding), (x,), (jnp.ones_like(x),)
    )
    with engine():
        y, vjp = run(x)
        (dx,) = jax.jit(vjp)(jnp.ones_like(y))
        same, dy = jax.jit(ahead)(x)
    y, dx, same, dy = (v.astype(jnp.float32) for v in (y, dx, same, dy))
    np.testing.assert_array_equal(y[:, 0], np.float32(largest))
    np.testing.assert_array_equal(same, y)
    np.testing.assert_array_equal(dx[:, 0], first)
    np.testing.assert_array_equal(dy, 1)


def test_many_entries_are_the_engine_s_or_xla_s():
    text = lambda *window: str(jax.make_jaxpr(lambda x: ops.max_pool(x, window))(normal(18, 18, 1)))
    with ENGINE.disabled():
        assert "reduce_window" in text(13, 5) and "reduce_window" not in text(8, 8)
    assert "reduce_window" in text(17, 16)
    assert ("reduce_window" in text(16, 16)) == (REASON is not None)


def test_a_cotangent_that_is_zero_by_its_rule():
    @jax.custom_vjp
    def stop(x):
        return x

    stop.defvjp(lambda x: (x, None), lambda _, ct: (None,))
    loss = lambda x: stop(ops.max_pool(x, (2,))).sum() + x.sum()
    np.testing.assert_array_equal(jax.grad(loss)(jnp.arange(4.0)[:, None]), 1)


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
