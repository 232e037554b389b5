"""Pools, the dense layer, and small layers."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn


@pytest.mark.parametrize(("kind", "reduce"), [("Max", np.max), ("Avg", np.mean)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pools_tile_the_map_by_default(kind, reduce, rank, normal, run):
    layer = getattr(nn, f"{kind}Pool{rank}d")(2)
    assert layer.stride == layer.kernel_size == (2,) * rank
    x = normal(2, *(4, 6, 2)[:rank], 3)
    blocks = np.asarray(x).reshape(2, *[m for n in (4, 6, 2)[:rank] for m in (n // 2, 2)], 3)
    expected = reduce(blocks, axis=tuple(range(2, 2 * rank + 1, 2)))
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(run(jax.vmap(layer), x), expected, rtol=1e-5, atol=1e-6)
    assert layer.multiply_adds(x.shape[1:]) == 0


def test_same_pools_do_not_count_the_padding(run):
    x = -jnp.ones((1, 3, 5, 1))
    for cls in (nn.MaxPool2d, nn.AvgPool2d):
        y = run(cls(2, padding="SAME"), x)
        np.testing.assert_allclose(y, -np.ones((1, 2, 3, 1)))


def test_overlapping_windows(normal, run):
    x = normal(7, 2)
    y = run(nn.MaxPool1d(3, 2), x)
    np.testing.assert_array_equal(y, np.stack([x[i : i + 3].max(0) for i in (0, 2, 4)]))


def test_a_blurred_pool_is_a_filter_of_maxima(normal, run):
    x = normal(6, 2)
    maxima = np.maximum(x, np.roll(x, -1, 0))
    blurred = (np.roll(maxima, 1, 0) + 2 * maxima + np.roll(maxima, -1, 0)) / 4
    np.testing.assert_allclose(run(nn.BlurPool1d(2), x), blurred[::2], rtol=1e-5, atol=1e-6)
    assert nn.BlurPool1d(2).window.extent == (4,)


def test_polyphase_sampling_keeps_the_grid_with_the_largest_norm(normal, run):
    x = normal(3, 4, 6, 2)
    maxima = np.max([np.roll(np.asarray(x), (-i, -j), (1, 2)) for i in (0, 1) for j in (0, 1)], 0)
    grids = [maxima[:, i::2, j::3] for i in range(2) for j in range(3)]
    norms = [np.square(grid).sum((1, 2, 3)) for grid in grids]
    expected = [grids[best][k] for k, best in enumerate(np.argmax(norms, 0))]
    assert len(set(np.argmax(norms, 0))) > 1
    layer = nn.PolyphasePool2d(2, (2, 3))
    np.testing.assert_array_equal(run(layer, x), expected)
    # What a shift on a torus makes of it is a shift of it.
    moved = np.asarray(run(layer, jnp.roll(x, (1, 2), (1, 2))))
    shifts = [np.roll(expected, (i, j), (1, 2)) for i in range(2) for j in range(2)]
    for k, one in enumerate(moved):
        assert any((one == shifted[k]).all() for shifted in shifts)
    with pytest.raises(ValueError, match=r"^stride: expected divisors of the map's sizes \(4, 6\)"):
        nn.PolyphasePool2d(2, 4)(x)


@pytest.mark.parametrize(("kind", "reduce"), [("avg", np.mean), ("max", np.max), ("sum", np.sum)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_pool(kind, reduce, rank, normal, run):
    x = normal(2, *(4, 3, 2)[:rank], 5)
    y = run(nn.GlobalPool(kind, rank), x)
    expected = reduce(np.asarray(x), axis=tuple(range(1, rank + 1)))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_linear_is_a_matrix_on_the_last_axis(make, normal, run):
    layer = make(nn.Linear, 4, 3)
    x = normal(2, 5, 4)
    expected = np.asarray(x) @ np.asarray(layer.weight) + np.asarray(layer.bias)
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-5)
    assert layer.multiply_adds((5, 4)) == 5 * 4 * 3
    assert nn.Linear(4, 3, use_bias=False, kernel_init="zeros", key=jax.random.key(0)).bias is None


def test_linear_sums_bfloat16_in_float32(run):
    layer = nn.Linear(4096, 1, kernel_init="ones", key=jax.random.key(0))
    layer = jax.tree.map(lambda a: a.astype(jnp.bfloat16), layer)
    y = run(layer, jnp.ones((2, 4096), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), 4096)


def test_layers_compose_in_equinox_sequential(make, normal, getkey):
    def build():
        return eqx.nn.Sequential(
            [
                make(nn.Conv2d, 3, 4, 3),
                nn.BatchNorm(4),
                nn.activation("relu"),
                nn.MaxPool2d(2),
                nn.Identity(),
                nn.GlobalPool("avg"),
                nn.Dropout(0.5),
                make(nn.Linear, 4, 2),
            ]
        )

    model, state = eqx.nn.make_with_state(build)()
    x = normal(5, 6, 6, 3)
    y, after = eqx.filter_jit(lambda m, x, s, k: m(x, s, key=k))(model, x, state, getkey())
    assert y.shape == (5, 2)
    assert not bool(eqx.tree_equal(state, after))


def test_an_activation_is_a_layer_without_leaves():
    layer = nn.activation("relu")
    assert jax.tree.leaves(layer) == []
    assert layer(jnp.array([-1.0, 2.0]), key=None).tolist() == [0.0, 2.0]
    custom = nn.activation(jnp.sin)
    assert float(custom(jnp.array(0.5), key=None)) == pytest.approx(np.sin(0.5))
    assert nn.activation(custom) is custom
    x = jnp.ones((2, 3), jnp.bfloat16)
    assert jax.eval_shape(nn.activation("gelu"), x).dtype == jnp.bfloat16


KEY = jax.random.key(0)
conv = functools.partial(nn.Conv2d, 4, 6, kernel_init="zeros", key=KEY)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Conv(4, 1, 1, 3, key=KEY), r"^num_spatial_dims: expected 1, 2 or 3, got 4$"),
        (lambda: nn.Conv2d(0, 1, 3, key=KEY), r"^in_channels: expected an int > 0, got 0$"),
        (lambda: nn.Conv2d(1, -2, 3, key=KEY), r"^out_channels: expected an int > 0, got -2$"),
        (lambda: conv((3, 0)), r"^kernel_size\[1\]: "),
        (lambda: conv((3, 3, 3)), r"^kernel_size: expected an int or 2 of them"),
        (lambda: conv(3, 0), r"^stride: "),
        (lambda: conv(3, dilation=0), r"^dilation: "),
        (lambda: conv(3, padding="SMAE"), r"^padding: .*got 'SMAE'$"),
        (lambda: conv(3, padding=[[1, -1], [0, 0]]), r"^padding\[0\]\[1\]: "),
        (lambda: conv(3, padding="CAUSAL"), r"^padding: 'CAUSAL' needs 1 spatial axis, got 2$"),
        (lambda: conv(3, groups=3), r"^groups: expected a divisor of in_channels=4, got 3$"),
        (lambda: conv(3, groups=4), r"^groups: expected a divisor of out_channels=6, got 4$"),
        (lambda: conv(3, padding_mode="mirror"), r"^padding_mode: .*got 'mirror'"),
        (lambda: conv(3, algorithm="ftt"), r"^algorithm: .*got 'ftt' \(nearest: 'fft'\)$"),
        (lambda: nn.DepthwiseConv2d(2, 3, channel_multiplier=0, key=KEY), r"^channel_multiplier: "),
        (lambda: nn.LocallyConnected2d(1, 1, 3, (5,), key=KEY), r"^spatial_shape: "),
        (
            lambda: nn.LocallyConnected2d(1, 1, 7, (5, 5), padding="VALID", key=KEY),
            r"^kernel_size\[0\]: a window of 7 does not fit",
        ),
        (lambda: nn.ConvTranspose2d(1, 1, 3, output_padding=-1, key=KEY), r"^output_padding: "),
        (lambda: nn.Linear(3, 0, key=KEY), r"^out_features: expected an int > 0, got 0$"),
        (lambda: nn.MaxPool2d(0), r"^kernel_size: "),
        (lambda: nn.GlobalPool("mean"), r"^kind: expected one of avg, max, sum, got 'mean'"),
        (lambda: nn.BatchNorm(0), r"^channels: "),
        (lambda: nn.BatchNorm(4, momentum=1.5), r"^momentum: expected a number >= 0 and < 1"),
        (lambda: nn.GroupNorm(6, 4), r"^groups: expected a divisor of channels=6, got 4$"),
        (lambda: nn.Dropout(-0.1), r"^p: expected a number >= 0 and < 1, got -0.1$"),
        (lambda: nn.activation("rleu"), r"^activation: .*got 'rleu' \(nearest: 'relu'\)$"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_wrong_inputs_are_refused(make):
    x = jnp.ones((2, 5, 5, 3))
    for layer in (make(nn.Conv2d, 4, 2, 3), make(nn.Linear, 4, 2), nn.LayerNorm(1)):
        with pytest.raises(ValueError, match=r"^x: expected \d channels on the last axis"):
            layer(x)
    with pytest.raises(ValueError, match=r"^x: expected shape"):
        make(nn.LocallyConnected2d, 3, 2, 3, (4, 4))(x)
    with pytest.raises(ValueError, match=r"^kernel_size\[0\]: a window of 7 does not fit"):
        make(nn.Conv2d, 3, 2, 7, padding="VALID")(x)
