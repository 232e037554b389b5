"""The block of A 4.6: order of layers, shapes, reductions, and how it calls its factories."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn

dense = functools.partial(nn.factories.dense, kernel_init="zeros")


def block(in_shape, channels, *, conv=dense, **options):
    """A block and its state, built without random draws."""
    return eqx.nn.make_with_state(nn.ConvBlock)(in_shape, channels, conv=conv, **options)


def kinds(made):
    return [type(layer).__name__ for layer in made.layers]


def test_layers_in_order(getkey):
    made, _ = block((8, 8, 3), [4, 6], norm=nn.BatchNorm, dropout=0.1, key=getkey())
    once = ["Conv", "BatchNorm", "Activation", "Dropout"]
    assert kinds(made) == [*once, *once, "MaxPool"]
    plain, _ = block((8, 8, 3), [4], pool=None, key=getkey())
    assert kinds(plain) == ["Conv", "Activation"]


@pytest.mark.parametrize("in_shape", [(7, 3), (7, 4, 3), (7, 4, 5, 3)])
@pytest.mark.parametrize("pool", ["max", "avg", "stride", None])
def test_out_shape_is_the_shape_of_the_output(in_shape, pool, getkey):
    made, state = block(in_shape, [4, 6], pool=pool, norm=nn.BatchNorm, key=getkey())
    x = jax.ShapeDtypeStruct((2, *in_shape), jnp.float32)
    y, _ = eqx.filter_eval_shape(made, x, state)
    assert made.in_shape == in_shape
    assert (2, *made.out_shape) == y.shape
    spatial = in_shape[:-1] if pool is None else tuple(-(-n // 2) for n in in_shape[:-1])
    assert made.out_shape == (*spatial, 6)


def test_stride_is_in_the_last_convolution(getkey):
    made, _ = block((8, 8, 3), [4, 6], pool="stride", pool_size=4, key=getkey())
    assert [layer.stride for layer in made.layers if isinstance(layer, nn.Conv)] == [(1, 1), (4, 4)]
    assert made.out_shape == (2, 2, 6)


def test_it_computes_its_layers_one_after_the_other(normal, run, getkey):
    made, state = block(
        (5, 6, 3), [4, 2], norm=functools.partial(nn.GroupNorm, groups=2), pool="avg", key=getkey()
    )
    made = jax.tree.map(lambda a: normal(*a.shape) if eqx.is_array(a) else a, made)
    x = normal(2, 5, 6, 3)

    @jax.jit
    def by_hand(x):
        conv1, norm1, _, conv2, norm2, _, _ = made.layers
        x = jax.nn.relu(norm1(conv1(x)))
        x = jax.nn.relu(norm2(conv2(x)))
        return jnp.stack([x[:, i : i + 2, j : j + 2].mean((1, 2)) for i in R5 for j in R6], 1)

    y, _ = run(made, x, state)
    np.testing.assert_allclose(y.reshape(2, -1, 2), by_hand(x), rtol=1e-4, atol=1e-5)


R5, R6 = (0, 2, 4), (0, 2, 4)


def test_state_and_dropout_follow_the_mode(normal, getkey):
    made, state = block((4, 4, 2), [3], norm=nn.BatchNorm, dropout=0.5, key=getkey())
    made = jax.tree.map(lambda a: normal(*a.shape) if eqx.is_inexact_array(a) else a, made)
    x, key = normal(3, 4, 4, 2), getkey()
    call = eqx.filter_jit(lambda m, x, s, key=None: m(x, s, key=key))
    trained, after = call(made, x, state, key)
    assert not bool(eqx.tree_equal(after, state))
    evaluated, same = call(eqx.nn.inference_mode(made), x, after)
    assert bool(eqx.tree_equal(same, after))
    assert not np.allclose(trained, evaluated)
    with pytest.raises(ValueError, match=r"^key: "):
        made(x, state)


def test_a_norm_turns_the_bias_off_unless_told(getkey):
    def has_bias(**options):
        return block((4, 4, 2), [3], key=getkey(), **options)[0].layers[0].bias is not None

    told = functools.partial(dense, use_bias=True)
    assert has_bias()
    assert not has_bias(norm=nn.BatchNorm)
    assert has_bias(norm=nn.BatchNorm, use_bias=True)
    assert has_bias(norm=nn.BatchNorm, conv=told)
    assert not has_bias(use_bias=False, conv=told)


def test_a_factory_gets_the_keywords_that_it_takes(getkey):
    def minimal(in_channels, out_channels, *, kernel_size, key):
        return nn.Conv2d(in_channels, out_channels, kernel_size, kernel_init="zeros", key=key)

    made, _ = block((4, 4, 2), [3], conv=minimal, norm=nn.BatchNorm, key=getkey())
    assert made.out_shape == (2, 2, 3)
    with pytest.raises(ValueError, match=r"^conv: .*stride"):
        block((4, 4, 2), [3], conv=minimal, pool="stride", key=getkey())
    # Layers themselves are factories, when they take a rank.
    as_class = functools.partial(nn.Conv2d, kernel_init="zeros", padding="VALID")
    made, _ = block((7, 6, 2), [3, 3], conv=as_class, pool=None, key=getkey())
    assert made.out_shape == (3, 2, 3)


def test_norms_know_what_is_space(getkey):
    """In 1-D a group norm must not take the batch for space."""
    norm = functools.partial(nn.GroupNorm, groups=1)
    made, _ = block((6, 2), [2], norm=norm, pool=None, key=getkey())
    assert made.layers[1].num_spatial_dims == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_shape": (8, 0, 3)}, r"^in_shape\[1\]: expected an int > 0, got 0$"),
        ({"in_shape": (8,)}, r"^in_shape: expected 1 to 3 spatial sizes"),
        ({"channels": []}, r"^channels: expected at least one"),
        ({"channels": [4, -64]}, r"^channels\[1\]: expected an int > 0, got -64$"),
        ({"pool": "maxx"}, r"^pool: .*got 'maxx' \(nearest: 'max'\)$"),
        ({"pool_size": 0}, r"^pool_size: "),
        ({"dropout": 1.0}, r"^dropout: "),
        ({"activation": "rleu"}, r"^activation: .*got 'rleu' \(nearest: 'relu'\)$"),
        ({"kernel_size": 0}, r"^kernel_size: "),
        ({"conv": functools.partial(dense, padding="VALID"), "kernel_size": 9}, r"^kernel_size\[0"),
        ({"norm": functools.partial(nn.GroupNorm, groups=3)}, r"^groups: .*channels=4, got 3$"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(options, message, getkey):
    arguments = {"in_shape": (8, 8, 3), "channels": [4], "key": getkey(), **options}
    with pytest.raises(ValueError, match=message) as caught:
        block(**arguments)
    assert "\n" not in str(caught.value)
