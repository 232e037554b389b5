"""Convolutional layers against loops, formulas of the chapter and their defining properties."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn, ops


def count(cls, *args, **kwargs):
    """Number of parameters of a layer; nothing is computed."""
    return sum(a.size for a in jax.tree.leaves(eqx.filter_eval_shape(cls, *args, **kwargs)))


CASES = [
    (1, {"kernel_size": 3}),
    (1, {"kernel_size": 4, "stride": 2, "padding": "CAUSAL", "dilation": 2}),
    (2, {"kernel_size": (2, 3), "stride": (1, 2)}),
    (2, {"kernel_size": 4, "padding": "VALID", "groups": 2}),
    (2, {"kernel_size": 3, "padding": [[1, 0], [2, 1]], "dilation": (1, 2)}),
    (2, {"kernel_size": 3, "padding": 1, "stride": 3, "use_bias": False}),
    (3, {"kernel_size": (1, 2, 3), "stride": (1, 2, 1), "groups": 2}),
]


@pytest.mark.parametrize(("rank", "options"), CASES)
def test_conv_is_the_sum_of_the_chapter(rank, options, run, normal, reference_conv, make):
    layer = make(nn.Conv, rank, 4, 6, **options)
    x = normal(2, *(7, 6, 5)[:rank], 4)
    np.testing.assert_allclose(run(layer, x), reference_conv(layer, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_rounds_up_for_even_and_odd_kernels(kernel_size, stride, make):
    layer = make(nn.Conv2d, 1, 2, kernel_size, stride)
    for h, w in [(7, 8), (4, 9)]:
        out = jax.eval_shape(layer, jax.ShapeDtypeStruct((3, h, w, 1), jnp.float32))
        assert out.shape == (3, math.ceil(h / stride), math.ceil(w / stride), 2)


def test_ranks_have_a_signature_of_their_own(getkey):
    key = getkey()
    kinds = {
        "Conv": nn.Conv,
        "PointwiseConv": nn.Conv,
        "SeparableConv": nn.SeparableConv,
        "ConvTranspose": nn.ConvTranspose,
        "LongConv": nn.Conv,
    }
    for kind, rank in itertools.product(kinds, (1, 2, 3)):
        if (kind, rank) == ("LongConv", 1):
            continue  # `nn.LongConv1d` is another layer
        args = {
            "PointwiseConv": (3, 4),
            "LongConv": (3, 4, (5, 6, 7)[:rank]),
        }.get(kind, (3, 4, 3))
        layer = eqx.filter_eval_shape(getattr(nn, f"{kind}{rank}d"), *args, key=key)
        assert isinstance(layer, kinds[kind])
        x = jax.ShapeDtypeStruct((2, *(5, 6, 7)[:rank], 3), jnp.float32)
        y = eqx.filter_eval_shape(lambda m, x: m(x), layer, x)
        assert y.shape == (2, *(5, 6, 7)[:rank], 4)


def test_parameter_counts_are_the_chapters(getkey):
    s, c, c2, h, w = 3, 8, 12, 6, 5
    biased = {"key": getkey()}
    plain = {**biased, "use_bias": False}
    assert count(nn.Conv2d, c, c2, s, **biased) == s**2 * c * c2 + c2  # A 3.2
    assert count(nn.PointwiseConv2d, c, c2, **biased) == c * c2 + c2  # A 5.1
    assert count(nn.DepthwiseConv2d, c, s, **plain) == s**2 * c  # A 5.2
    assert count(nn.GroupedConv2d, c, c2, s, 4, **plain) == s**2 * c * c2 // 4
    assert count(nn.SeparableConv2d, c, c2, s, **plain) == s**2 * c + c * c2  # A 5.3
    assert count(nn.SeparableConv2d, c, c2, s, **biased) == s**2 * c + c * c2 + c2
    local = count(nn.LocallyConnected2d, c, c2, s, (h, w), **plain)
    assert local == h * w * s**2 * c * c2  # A 2.4
    assert count(nn.Conv1d, c, c2, s, **biased) == s * c * c2 + c2
    assert count(nn.Conv3d, c, c2, s, **biased) == s**3 * c * c2 + c2
    assert count(nn.LongConv2d, c, c2, (h, w), **plain) == h * w * c * c2


def test_pointwise_is_a_dense_layer_for_every_pixel(run, normal, make):
    layer = make(nn.PointwiseConv2d, 3, 5, stride=(2, 1))
    x = normal(2, 5, 4, 3)
    expected = x[:, ::2] @ np.asarray(layer.weight)[0, 0] + np.asarray(layer.bias)
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-5)


def test_depthwise_filters_each_channel_alone(run, normal, reference_conv, make):
    layer = make(nn.DepthwiseConv2d, 3, 3, channel_multiplier=2)
    assert layer.weight.shape == (3, 3, 1, 6)
    x = normal(1, 5, 4, 3)
    y = run(layer, x)
    for c, j in itertools.product(range(3), range(2)):
        one = eqx.tree_at(
            lambda m: (m.weight, m.bias),
            make(nn.Conv2d, 1, 1, 3),
            (layer.weight[..., jnp.array([2 * c + j])], layer.bias[jnp.array([2 * c + j])]),
        )
        expected = reference_conv(one, x[..., c : c + 1])[..., 0]
        np.testing.assert_allclose(y[..., 2 * c + j], expected, rtol=1e-4, atol=1e-5)


def test_separable_is_depthwise_then_pointwise(run, normal, reference_conv, make):
    layer = make(nn.SeparableConv2d, 4, 6, 3, 2, channel_multiplier=2)
    x = normal(2, 5, 6, 4)
    middle = reference_conv(layer.depthwise, x)
    expected = middle @ np.asarray(layer.pointwise.weight)[0, 0] + np.asarray(layer.pointwise.bias)
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-5)
    assert (layer.kernel_size, layer.stride, layer.dilation) == ((3, 3), (2, 2), (1, 1))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_locally_connected_is_a_convolution_with_weights_of_its_own(rank, run, normal, make):
    spatial = (5, 4, 3)[:rank]
    layer = make(nn.LocallyConnected, rank, 2, 3, 3, spatial, stride=2)
    x = normal(2, *spatial, 2)
    y = np.asarray(run(layer, x))
    low, high = zip(
        *[(t // 2, t - t // 2) for n in spatial for t in [(-(-n // 2) - 1) * 2 + 3 - n]],
        strict=True,
    )
    padded = np.pad(x, ((0, 0), *zip(low, high, strict=True), (0, 0)))
    for o in itertools.product(*map(range, y.shape[1:-1])):
        patch = padded[(slice(None), *(slice(2 * i, 2 * i + 3) for i in o))].reshape(2, -1)
        expected = patch @ np.asarray(layer.weight[o]) + np.asarray(layer.bias[o])
        np.testing.assert_allclose(y[(slice(None), *o)], expected, rtol=1e-4, atol=1e-5)


def test_locally_connected_with_shared_weights_is_conv(run, normal, make):
    conv = make(nn.Conv2d, 2, 3, 3, use_bias=False)
    layer = make(nn.LocallyConnected2d, 2, 3, 3, (4, 5), use_bias=False)
    shared = jnp.broadcast_to(conv.weight.reshape(-1, 3), layer.weight.shape)
    layer = eqx.tree_at(lambda m: m.weight, layer, shared)
    x = normal(2, 4, 5, 2)
    np.testing.assert_allclose(run(layer, x), run(conv, x), rtol=1e-4, atol=1e-5)


def test_long_conv_is_as_long_as_its_input(run, normal, reference_conv, make):
    layer = make(nn.LongConv2d, 2, 3, (6, 5), stride=2)
    assert layer.kernel_size == (6, 5)
    x = normal(2, 6, 5, 2)
    np.testing.assert_allclose(run(layer, x), reference_conv(layer, x), rtol=1e-4, atol=1e-5)


def test_causal_long_conv_sees_the_whole_past_and_no_future(normal, make):
    layer = make(nn.LongConv, 1, 2, 3, (9,), padding="CAUSAL")
    x = normal(9, 2)
    jacobian = jax.jit(jax.jacobian(lambda x: layer(x).sum(-1)))(x)  # (9, 9, 2)
    reach = np.abs(np.asarray(jacobian)).sum(-1)
    past = np.tril(np.ones((9, 9), bool))
    assert reach[past].min() > 1e-3
    # The transform mixes everything and leaves rounding, not exact zeros.
    assert reach[~past].max() < 1e-5


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_mode_is_numpys(mode, run, normal, reference_conv, make):
    layer = make(nn.Conv2d, 2, 3, 3, 2, padding_mode=mode)
    x = normal(2, 5, 6, 2)
    padded = np.pad(
        x,
        ((0, 0), (1, 1), (0, 1), (0, 0)),
        mode={"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode],
    )
    valid = make(nn.Conv2d, 2, 3, 3, 2, padding="VALID")
    valid = eqx.tree_at(lambda m: (m.weight, m.bias), valid, (layer.weight, layer.bias))
    np.testing.assert_allclose(run(layer, x), reference_conv(valid, padded), rtol=1e-4, atol=1e-5)


def test_flip_is_the_signal_processors_convolution(run, normal, make):
    layer = make(nn.Conv1d, 1, 1, 4, padding=3, use_bias=False, flip=True)
    x = normal(7, 1)
    expected = np.convolve(x[:, 0], np.asarray(layer.weight)[:, 0, 0])
    np.testing.assert_allclose(run(layer, x)[:, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", ops.algorithms((2, 5, 6, 2), (3, 3, 2, 3), stride=2))
def test_the_algorithm_does_not_change_the_result(algorithm, run, normal, reference_conv, make):
    layer = make(nn.Conv2d, 2, 3, 3, 2, algorithm=algorithm)
    x = normal(2, 5, 6, 2)
    np.testing.assert_allclose(run(layer, x), reference_conv(layer, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_layer_is_the_adjoint(rank, run, normal, make):
    options = {"stride": 2, "padding": 1, "groups": 2, "use_bias": False}
    conv = make(nn.Conv, rank, 4, 6, 3, **options)
    transposed = make(nn.ConvTranspose, rank, 6, 4, 3, **options, output_padding=1)
    assert transposed.weight.shape == conv.weight.shape
    transposed = eqx.tree_at(lambda m: m.weight, transposed, conv.weight)
    x = normal(2, *(6, 4, 4)[:rank], 4)
    y = run(conv, x)
    v = normal(*y.shape)
    back = run(transposed, v)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(y, v), np.vdot(x, back), rtol=1e-4)
    assert transposed.multiply_adds(v.shape[1:]) == math.prod(v.shape[1:]) * 3**rank * 2


def test_transposed_same_multiplies_the_size(run, make):
    layer = make(nn.ConvTranspose2d, 3, 5, 3, 2)
    y = run(layer, np.zeros((2, 4, 3, 3), np.float32))
    assert y.shape == (2, 8, 6, 5)
    np.testing.assert_allclose(y, np.broadcast_to(layer.bias, y.shape))


def test_vmap_gives_what_a_batch_gives(run, normal, make):
    layers = [
        make(nn.ConvTranspose2d, 3, 4, 3, 2),
        make(nn.SeparableConv2d, 3, 4, 3),
        make(nn.LocallyConnected2d, 3, 4, 3, (5, 6)),
        make(nn.LongConv2d, 3, 4, (5, 6)),
    ]
    x = normal(2, 3, 5, 6, 3)
    for layer in layers:
        y = run(layer, x)
        assert y.shape[:2] == (2, 3)
        each = run(jax.vmap(jax.vmap(layer)), x)
        np.testing.assert_allclose(y, each, rtol=1e-4, atol=1e-5)


def test_multiply_adds_count_the_products_of_the_sum(make):
    layer = make(nn.GroupedConv2d, 4, 6, (3, 2), 2, stride=2, padding="VALID")
    outputs = itertools.product(range(3), range(3), range(6))  # 7x6 input
    terms = len(list(itertools.product(range(3), range(2), range(2))))
    assert layer.multiply_adds((7, 6, 4)) == len(list(outputs)) * terms
    separable = make(nn.SeparableConv2d, 4, 6, 3, 2, channel_multiplier=2)
    assert separable.multiply_adds((8, 6, 4)) == 4 * 3 * (9 * 8 + 8 * 6)
    local = make(nn.LocallyConnected2d, 4, 6, 3, (8, 6))
    assert local.multiply_adds((8, 6, 4)) == 8 * 6 * 9 * 4 * 6
    assert make(nn.PointwiseConv1d, 4, 6).multiply_adds((10, 4)) == 240


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_stays_and_accumulates_wide(dtype, run, getkey):
    layer = nn.Conv2d(256, 1, 3, padding="VALID", kernel_init="ones", key=getkey())
    layer = jax.tree.map(lambda a: a.astype(dtype), layer)
    y = run(layer, jnp.ones((3, 3, 256), dtype))
    assert y.dtype == dtype
    # 2304 ones: a sum in bfloat16 stops at 256, in float16 at 2048.
    np.testing.assert_allclose(np.asarray(y, np.float32), 2304, rtol=1e-2)


def test_nothing_is_traced_twice(normal, make):
    traces = 0

    @eqx.filter_jit
    def call(layer, x):
        nonlocal traces
        traces += 1
        return layer(x)

    for _ in range(3):  # new layers, equal settings: one trace
        call(make(nn.Conv2d, 2, 3, [3, 3], padding=[[1, 1], [1, 1]]), normal(2, 4, 4, 2))
    assert traces == 1
    call(make(nn.Conv2d, 2, 3, 3, 2), normal(2, 4, 4, 2))
    assert traces == 2


def test_gradients_reach_every_parameter(normal, make):
    layer = eqx.nn.Sequential(
        [
            make(nn.LocallyConnected2d, 2, 4, 3, (4, 4)),
            make(nn.SeparableConv2d, 4, 4, 3),
        ]
    )
    x = normal(2, 4, 4, 2)
    grads = eqx.filter_jit(eqx.filter_grad(lambda m, x: (m(x) ** 2).sum()))(layer, x)
    leaves = jax.tree.leaves(grads)
    assert len(leaves) == 5
    assert all(bool(jnp.isfinite(g).all()) and float(jnp.abs(g).max()) > 0 for g in leaves)
