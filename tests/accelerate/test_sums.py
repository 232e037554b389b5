"""Long sums over all axes but channels, of others' models: the sums, whoever computes them."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from primitive_cases import needs_engine

from cnnlab.accelerate import accelerated, sums

pytestmark = needs_engine
CALL = "@cnnlab_sums"


def run(function, *arguments):
    """What the engine makes of a function that has sums."""
    jitted = jax.jit(function)
    with accelerated():
        assert CALL in jitted.lower(*arguments).as_text()
        return jitted(*arguments)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((16, 8, 9, 40), (0, 1, 2)),  # columns, in several parts
        ((37, 29, 16), (0, 1)),
        ((8, 500, 6), (0, 1)),  # narrow ones: eight rows beside each other
        ((3, 5000), (0,)),  # wide ones
        ((700, 67), (1,)),  # rows
        ((37, 40, 5), (0, 2)),  # both, short
        ((9, 3, 2, 1100), (0, 2, 3)),  # both, long
        ((5, 37, 29, 7), (0, 1, 2, 3)),  # all
        ((1, 70, 1, 1), (0, 2, 3)),  # nothing to add
        ((9, 6, 7, 20), (1, 2)),  # columns of each example
        ((5, 70, 3, 8), (1, 3)),  # groups of channels of each
        ((2, 4, 90, 700), (2,)),  # of few
    ],
)
def test_values_beside_float64(shape, axes, monkeypatch):
    for name in ("_FEWEST", "_FEWEST_IN_ROWS", "_FEWEST_TERMS"):
        monkeypatch.setattr(sums, name, 1)
    monkeypatch.setattr(sums, "_WIDEST", 10_000)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    total, of_squares = run(lambda x: (jnp.sum(x, axes), jnp.sum(x * x, axes)), x)
    for got, terms in ((total, x.astype(float)), (of_squares, x.astype(float) ** 2)):
        assert np.max(abs(got - terms.sum(axes)) / abs(terms).sum(axes)) <= 4e-7


@pytest.mark.parametrize(("axes", "lane"), [((0, 1, 2), 3), ((0, 2, 3), 1)])
def test_a_normalisation_and_its_gradients(axes, lane):
    x = jax.random.normal(jax.random.key(1), (8, 24, 16, 24)) + 3
    shape = [1 if axis in axes else n for axis, n in enumerate(x.shape)]
    scale, dy = jnp.linspace(1, 2, 24).reshape(shape), jnp.sin(x)

    def normalise(x, scale):
        y = (x - x.mean(axes, keepdims=True)) / jnp.sqrt(x.var(axes, keepdims=True) + 1e-3)
        return y * scale

    def both(x, scale, dy):
        y, transpose = jax.vjp(normalise, x, scale)
        return y, *transpose(dy)

    batched = jax.vmap(both, (lane, None, lane), lane)
    lanes = [jnp.stack([v, 2 * v], lane) for v in (x, dy)]
    for function, arguments in ((both, (x, scale, dy)), (batched, (lanes[0], scale, lanes[1]))):
        with jax.enable_x64(True):
            expected = jax.jit(function)(*(np.asarray(v, np.float64) for v in arguments))
        for got, value in zip(run(function, *arguments), expected, strict=True):
            assert np.max(np.abs(got - np.asarray(value))) <= 1e-6 * np.max(np.abs(value))


def test_not_a_number_stays_one():
    x = jnp.ones((128, 300)).at[3, 4].set(jnp.nan).at[5, 6].set(jnp.inf)
    y = run(lambda x: jnp.sum(x, 0), x)
    assert jnp.isnan(y[4]) and y[6] == jnp.inf and jnp.isfinite(y).sum() == 298


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 1, 2, 3)])
def test_the_same_bits_whatever_runs_beside(axes):
    x = jax.random.normal(jax.random.key(2), (16, 40, 40, 24))
    total = jax.jit(lambda x: jnp.sum(x * x, axes))
    with accelerated():
        total = total.lower(x).compile()
    alone, same = np.asarray(total(x)), []
    work = lambda: same.extend(np.array_equal(total(x), alone) for _ in range(10))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(same) == 40 and all(same)


@pytest.mark.parametrize("spec", [P("a"), P(None, None, "a"), P()])
def test_on_two_devices_each_adds_its_part(spec):
    mesh = jax.make_mesh((2,), ("a",))
    x = jax.random.normal(jax.random.key(3), (16, 40, 48))
    cut = jax.device_put(x, NamedSharding(mesh, spec))
    total = jax.jit(lambda x: jnp.sum(jnp.sin(x), (0, 1)))
    with accelerated():
        program = total.lower(cut).compile()
    np.testing.assert_allclose(program(cut), total(x), rtol=1e-4, atol=1e-4)
    text = program.as_text()
    assert 'custom_call_target="cnnlab_sums"' in text
    assert spec == P() or "f32[16,40,48]" not in text  # nobody has the whole of it


def test_a_sum_whose_parts_on_the_devices_are_still_to_be_added_up():
    mesh = jax.make_mesh((2,), ("a",), axis_types=(AxisType.Explicit,))
    x = jax.random.normal(jax.random.key(4), (256, 128))
    later = NamedSharding(mesh, P(None, unreduced={"a"}))
    parts = jax.jit(lambda x: jax.lax.reduce_sum(x, axes=(0,), out_sharding=later))
    with accelerated(), jax.set_mesh(mesh):
        y = jax.sharding.reshard(parts(jax.device_put(x, P("a"))), P())
    np.testing.assert_allclose(y, x.sum(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "line"),
    [
        ((128, 127), "float32", (0,), ""),
        ((128, 128), "float32", (0,), "native: sum of float32[128,128] over axis 0"),
        ((127, 4096), "float32", (0,), ""),  # few terms
        ((128, 4097), "float32", (0,), ""),  # wide
        ((8, 4097, 16), "float32", (0, 2), ""),  # wide, too
        ((99, 128, 127), "float32", (1,), ""),  # many short ones
        ((64, 4095), "float32", (1,), ""),
        ((1024, 1024, 32), "float32", (2,), ""),  # as of distances between all pairs
        ((1, 1, 64, 4096), "float32", (0, 1), ""),
        (
            (64, 4096),
            "float16",
            (1,),
            "XLA's own: sum of float16[64,4096] over axis 1: the engine adds no float16",
        ),
        (
            (2, 64, 32, 32, 2),
            "float32",
            (0, 2, 4),
            "XLA's own: sum of float32[2,64,32,32,2] over axes 0, 2, 4: the axes that stay are not "
            "the first and one run of others",
        ),
        (
            (2, 2**25, 2),
            "float32",
            (0, 1),
            "XLA's own: sum of float32[2,33554432,2] over axes 0, 1: it is of more than "
            "67,108,864 numbers",
        ),
    ],
)
def test_which_are_served(shape, dtype, axes, line):
    served = sums.serve(jax.core.ShapedArray(shape, jnp.dtype(dtype)), axes=axes)
    assert served.line == line and (served.compute is not None) == line.startswith("native:")
