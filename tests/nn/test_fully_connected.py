"""The dense layer from image to image (A 1.3), and vect and unvect, which it is made of."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn, ops
from cnnlab.analysis import receptive_field, summary
from cnnlab.config import ConfigError, build_model, compose


def test_vect_is_in_row_major_order(normal):
    x = normal(2, 4, 5, 3)
    vector = ops.vect(x, 3)
    for h, w, c in itertools.product(range(4), range(5), range(3)):  # strides (15, 3, 1), A 1.4
        np.testing.assert_array_equal(vector[:, 15 * h + 3 * w + c], x[:, h, w, c])
    np.testing.assert_array_equal(ops.unvect(vector, (4, 5, 3)), x)
    assert ops.vect(x).shape == (120,)
    assert ops.unvect(ops.vect(x[0, 0, 0, 0]), ()).shape == ()


def test_vect_refuses_what_does_not_fit(normal):
    x = normal(2, 3)
    with pytest.raises(ValueError, match=r"^axes: expected 0 to 2 for shape \(2, 3\), got 3$"):
        ops.vect(x, 3)
    with pytest.raises(ValueError, match=r"^shape: \(2, 2\) has 4 entries, v is \(2, 3\)$"):
        ops.unvect(x, (2, 2))


@pytest.mark.parametrize(("rank", "stride"), [(1, 2), (2, 1), (2, (2, 3)), (3, 2)])
def test_every_output_is_a_sum_over_the_whole_image(rank, stride, run, normal, make):
    spatial = (4, 3, 2)[:rank]
    layer = make(nn.FullyConnected, rank, 2, 3, spatial, stride)
    x = normal(2, *spatial, 2)
    y = np.asarray(run(layer, x))
    assert y.shape == (2, *layer.out_shape)
    weight = np.asarray(layer.weight, np.float64).reshape(*spatial, 2, *layer.out_shape)
    expected = np.zeros(y.shape)
    for to in np.ndindex(layer.out_shape):
        for at in np.ndindex(*spatial, 2):
            expected[(slice(None), *to)] += weight[(*at, *to)] * np.asarray(x[(slice(None), *at)])
        expected[(slice(None), *to)] += np.asarray(layer.bias[to])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_as_in_pytorch(normal, make):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    layer = make(nn.FullyConnected2d, 2, 4, (3, 5))
    x, cotangent = normal(2, 3, 5, 2), normal(2, 3, 5, 4)

    def loss(layer, x):
        y = jax.nn.relu(layer(x))
        return jnp.vdot(y, cotangent), y

    (dlayer, dx), y = eqx.filter_jit(eqx.filter_grad(lambda both: loss(*both), has_aux=True))(
        (layer, x)
    )
    t = lambda a: torch.tensor(np.asarray(a)).requires_grad_()
    weight, bias, image = t(layer.weight), t(layer.bias), t(x)
    vector = image.flatten(1) @ weight
    theirs = (vector.unflatten(1, (3, 5, 4)) + bias).relu()
    (theirs * torch.tensor(np.asarray(cotangent))).sum().backward()
    for ours, other in ((y, theirs), (dx, image.grad), (dlayer.weight, weight.grad),
                        (dlayer.bias, bias.grad)):  # fmt: skip
        np.testing.assert_allclose(ours, other.detach().numpy(), rtol=1e-4, atol=1e-4)


def test_a_convolution_is_one_with_shared_and_local_weights(run, normal, make):
    conv = make(nn.Conv2d, 2, 3, 3)
    layer = make(nn.FullyConnected2d, 2, 3, (4, 5))
    matrix = ops.toeplitz_matrix(conv.weight, (4, 5, 2))
    bias = jnp.broadcast_to(conv.bias, layer.bias.shape)
    layer = eqx.tree_at(lambda m: (m.weight, m.bias), layer, (matrix.T, bias))
    x = normal(2, 4, 5, 2)
    np.testing.assert_allclose(run(layer, x), run(conv, x), rtol=1e-4, atol=1e-5)


def test_what_it_costs_and_what_it_sees(getkey):
    layer = nn.FullyConnected2d(2, 3, (4, 5), key=getkey())
    (row,) = summary(layer, (4, 5, 2)).rows
    assert row.parameters == 20**2 * 2 * 3 + 20 * 3  # (h w)^2 c c' and a bias each
    assert (row.multiply_adds, row.receptive_field) == (20**2 * 2 * 3, "all")
    assert receptive_field(layer, jnp.ones((1, 4, 5, 2))).size == (4, 5)


def test_initial_weights_have_the_variance_of_the_matrix(getkey):
    weight = nn.FullyConnected2d(4, 8, (10, 10), key=getkey()).weight
    assert float(weight.std()) == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    same = nn.FullyConnected1d(2, 2, (3,), kernel_init="dirac", key=getkey())
    x = jnp.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(same(x), x)


def test_too_many_weights_are_refused_with_their_number(getkey):
    # The image of A 1.3: 1024 x 1024 pixels of 3 channels.
    large = functools.partial(nn.FullyConnected2d, 3, 3, (1024, 1024), key=getkey())
    with pytest.raises(ValueError, match=r"^max_weights: .* 9,895,604,649,984 weights, more than"):
        large()
    assert eqx.filter_eval_shape(functools.partial(large, max_weights=10**13)).weight.size > 9e12
    with pytest.raises(ValueError, match=r"^x: expected shape \(\*batch, \(4, 5, 2\)\), got \(4,"):
        nn.FullyConnected2d(2, 3, (4, 5), key=getkey())(jnp.ones((4, 4, 2)))
    cfg = compose(["conv=fully_connected", "backbone.plan=[8]", "conv.max_weights=1000"])
    with pytest.raises(
        ConfigError, match=r"^conv\.max_weights: .* 32,768 weights, more than 1,000"
    ):
        build_model(cfg, (8, 8, 1), 2, key=getkey())
