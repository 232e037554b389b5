"""Dropout masks and the questions a layer may ask about its replicas."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from cnnlab import nn


@pytest.mark.parametrize("how", ["pmap", "shard_map", "vmap"])
def test_masks_are_the_same_on_one_device_and_two_replicas(how, getkey):
    layer, key = nn.Dropout(0.5), getkey()
    x = jnp.ones((4, 3, 5))
    fn = lambda x: layer(x, key=key)
    whole = jax.jit(fn)(x)
    if how == "shard_map":
        mesh, rows = Mesh(np.array(jax.devices()[:2]), (nn.AXIS,)), PartitionSpec(nn.AXIS)
        parts = jax.jit(jax.shard_map(fn, mesh=mesh, in_specs=rows, out_specs=rows))(x)
    else:
        mapped = getattr(jax, how)(fn, axis_name=nn.AXIS)
        parts = jax.jit(mapped)(x.reshape(2, 2, 3, 5))
    assert (whole.reshape(-1) == parts.reshape(-1)).all()
    assert len({row.tobytes() for row in np.asarray(whole)}) == 4  # each example its own mask


def test_the_mean_is_kept(getkey):
    layer = nn.Dropout(0.25)
    y = jax.jit(lambda k: layer(jnp.ones((8, 2048)), key=k))(getkey())
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    # 16384 draws: the mean's standard deviation is 0.0045.
    assert abs(float(y.mean()) - 1) < 0.02


def test_the_key_decides(getkey):
    layer, x = nn.Dropout(0.5), jnp.ones((4, 16))
    draw = jax.jit(lambda key: layer(x, key=key))
    one, two = getkey(), getkey()
    assert (draw(one) == draw(one)).all()
    assert not (draw(one) == draw(two)).all()


def test_inference_and_zero_probability_need_no_key(normal):
    x = normal(3, 4)
    assert (nn.Dropout(0.0)(x) == x).all()
    layer = nn.Dropout(0.5)
    assert (eqx.nn.inference_mode(layer)(x) == x).all()
    with pytest.raises(ValueError, match=r"^key: "):
        layer(x)
    with pytest.raises(ValueError, match=r"^key: "):
        eqx.nn.inference_mode(eqx.nn.inference_mode(layer), value=False)(x)


def test_dropout_keeps_the_type(getkey):
    x = jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)
    y = jax.eval_shape(nn.Dropout(0.5), x, key=getkey())
    assert y.dtype == jnp.bfloat16


def test_nothing_is_bound_outside():
    assert nn.rank() == 0
    assert nn.replicas.count() == 1
    assert nn.pmean({"a": 3.0}) == {"a": 3.0}


def test_questions_inside_of_a_map():
    def ask(x):
        return nn.rank() + jnp.zeros((), int), nn.pmean(x), jnp.array(nn.replicas.count())

    for mapped in (jax.vmap(ask, axis_name=nn.AXIS), jax.pmap(ask, axis_name=nn.AXIS)):
        rank, mean, count = jax.jit(mapped)(jnp.array([1.0, 4.0]))
        assert rank.tolist() == [0, 1]
        assert mean.tolist() == [2.5, 2.5]
        assert count.tolist() == [2, 2]
    # Another axis is not ours.
    rank, mean, _ = jax.vmap(ask, axis_name="other")(jnp.array([1.0, 4.0]))
    assert (rank.tolist(), mean.tolist()) == ([0, 0], [1.0, 4.0])
