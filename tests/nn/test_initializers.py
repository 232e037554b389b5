"""Initial weights: spread, orthogonality, and the kernel that does nothing."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn

SHAPE = (3, 3, 16, 64)
FAN_IN, FAN_OUT = 9 * 16, 9 * 64


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("he", 2 / FAN_IN),
        ("glorot", 2 / (FAN_IN + FAN_OUT)),
        ("lecun", 1 / FAN_IN),
    ],
)
def test_spread(name, variance, getkey):
    draw = jax.jit(lambda key: [nn.initializer(f"{name}_{d}")(key, SHAPE) for d in DISTRIBUTIONS])
    normal, uniform = draw(getkey())
    for w in (normal, uniform):
        assert w.shape == SHAPE
        # 9216 draws: the deviation is known to 0.75 %, the mean to 1 % of the deviation.
        np.testing.assert_allclose(float(w.std()), math.sqrt(variance), rtol=0.04)
        assert abs(float(w.mean())) < 0.05 * math.sqrt(variance)
    limit = math.sqrt(3 * variance)
    assert 0.99 * limit < float(jnp.abs(uniform).max()) <= limit
    assert float(jnp.abs(normal).max()) > limit


DISTRIBUTIONS = ("normal", "uniform")


def test_fans_of_groups():
    """Each output sums over its group only, and each input reaches its group only."""
    from cnnlab.nn.initializers import fans

    assert fans((3, 5, 4, 24), groups=2) == (3 * 5 * 4, 3 * 5 * 12)
    assert fans((7, 6)) == (7, 6)


def test_he_keeps_the_scale_through_relu_layers(getkey):
    """He et al. 2015, section 2.2: the second moment is kept from layer to layer."""
    layers = [
        nn.Conv1d(64, 64, 3, padding=[[1, 1]], padding_mode="circular", key=k)
        for k in jax.random.split(getkey(), 4)
    ]
    x = jax.device_put(np.random.default_rng(0).standard_normal((8, 32, 64)).astype(np.float32))

    @jax.jit
    def forward(x):
        for layer in layers:
            x = jax.nn.relu(layer(x))
        return x

    # relu halves the second moment of its symmetric input, he doubles it.
    np.testing.assert_allclose(float((forward(x) ** 2).mean()), 1.0, rtol=0.4)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (2, 2, 2, 16)])
def test_orthogonal(shape, getkey):
    w = np.asarray(nn.initializer("orthogonal")(getkey(), shape)).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (4, 2), (4, 4)])
def test_dirac_is_the_identity(kernel_size, channels, groups, normal, run, getkey):
    options = {"kernel_init": "dirac", "groups": groups, "key": getkey()}
    x = normal(2, 5, channels)
    for cls in (nn.Conv1d, nn.ConvTranspose1d):
        layer = cls(channels, channels, kernel_size, **options)
        np.testing.assert_array_equal(run(layer, x), x)


def test_dirac_copies_the_channels_that_both_have(normal, run, getkey):
    x = normal(2, 4, 4, 3)
    wider = nn.Conv2d(3, 5, 3, kernel_init="dirac", key=getkey())
    y = run(wider, x)
    np.testing.assert_array_equal(y[..., :3], x)
    np.testing.assert_array_equal(y[..., 3:], 0)
    narrower = nn.Conv2d(3, 2, 3, kernel_init="dirac", key=getkey())
    np.testing.assert_array_equal(run(narrower, x), x[..., :2])
    local = nn.LocallyConnected2d(3, 3, 3, (4, 4), kernel_init="dirac", key=getkey())
    np.testing.assert_array_equal(run(local, x), x)


def test_zeros_ones_and_functions(getkey):
    key = getkey()
    assert (nn.Linear(2, 3, kernel_init="zeros", key=key).weight == 0).all()
    assert (nn.Linear(2, 3, kernel_init="ones", key=key).weight == 1).all()
    layer = nn.Conv1d(2, 3, 3, kernel_init=jax.nn.initializers.constant(0.5), key=key)
    assert (layer.weight == 0.5).all()
    assert nn.initializer("zeros")(key, (2, 3), jnp.bfloat16).dtype == jnp.bfloat16


def test_layers_draw_with_their_fans(getkey):
    """The same key, so the weights differ only by the fans' scale."""
    key = getkey()
    dense = nn.Conv1d(8, 8, 3, key=key)
    grouped = nn.Conv1d(8, 32, 3, groups=4, key=key)  # 3 * 2 * 32 weights too
    np.testing.assert_allclose(
        np.asarray(grouped.weight).reshape(-1) / math.sqrt(2 / 6),
        np.asarray(dense.weight).reshape(-1) / math.sqrt(2 / 24),
        rtol=1e-5,
    )
    transposed = nn.ConvTranspose1d(8, 8, 3, key=key)
    np.testing.assert_allclose(np.sort(transposed.weight, None), np.sort(dense.weight, None))
    assert eqx.filter_eval_shape(nn.Linear, 3, 4, key=key).weight.shape == (3, 4)


def test_an_unknown_name_names_the_nearest(getkey):
    with pytest.raises(ValueError, match=r"^kernel_init: .*got 'he_norml' \(nearest: 'he_normal'"):
        nn.initializer("he_norml")
    with pytest.raises(ValueError, match=r"^kernel_init: "):
        nn.Conv2d(1, 1, 3, kernel_init="kaiming", key=getkey())
