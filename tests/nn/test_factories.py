"""Every factory drops into any place of a backbone, and every config file names one."""

import functools
import itertools
import pathlib

import equinox as eqx
import hydra
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from omegaconf import OmegaConf

from cnnlab import nn, ops
from cnnlab.nn import factories
from cnnlab.ops import REGISTRY

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NAMES = sorted(p.stem for p in (CONFIGS / "conv").glob("*.yaml"))
# `pointwise` is a layer of its own, which the algorithm of that name computes.
ALGORITHMS = sorted({"direct", *REGISTRY} - {"pointwise"})


def _factory(name):
    if name in ALGORITHMS:
        return functools.partial(factories.dense, algorithm=name)
    return getattr(factories, name)


def test_there_is_a_config_for_every_factory():
    made = {
        name
        for name, f in vars(factories).items()
        if callable(f) and getattr(f, "__module__", "") == factories.__name__
    }
    assert made == set(NAMES) - set(ALGORITHMS)


@pytest.mark.parametrize("name", NAMES)
def test_any_channels_rank_and_stride(name, getkey):
    """`out = ceil(n / stride)` everywhere, and only the wanted parameters."""
    factory, key = _factory(name), getkey()
    for (c_in, c_out), rank, stride in itertools.product(
        [(1, 8), (3, 8), (8, 8), (8, 12)], (1, 2, 3), (1, 2)
    ):
        spatial = (5, 4, 3)[:rank]
        options = {"kernel_size": 3, "stride": stride, "spatial_shape": spatial, "use_bias": False}
        layer = eqx.filter_eval_shape(functools.partial(factory, c_in, c_out, **options), key=key)
        x = jax.ShapeDtypeStruct((2, *spatial, c_in), jnp.float32)
        expected = (2, *(-(-n // stride) for n in spatial), c_out)
        assert eqx.filter_eval_shape(lambda m, x: m(x), layer, x).shape == expected
        assert layer.multiply_adds((*spatial, c_in)) > 0
        assert layer.stride == (stride,) * rank
        names = [jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(layer)]
        assert all(n.endswith("weight") for n in names)


@pytest.mark.parametrize("name", NAMES)
def test_config_files_are_complete(name):
    cfg = OmegaConf.load(CONFIGS / "conv" / f"{name}.yaml")
    cfg.pop("defaults", None)
    factory = "dense" if name in ALGORITHMS else name
    assert cfg._target_ == f"cnnlab.nn.factories.{factory}"
    conv = hydra.utils.instantiate(cfg)
    layer = eqx.filter_eval_shape(
        lambda key: conv(4, 8, kernel_size=3, spatial_shape=(4, 4), key=key), jax.random.key(0)
    )
    assert layer.stride == (1, 1)


@pytest.mark.parametrize(
    ("name", "kind"), [("batch", nn.BatchNorm), ("group", nn.GroupNorm), ("layer", nn.LayerNorm)]
)
def test_norm_config_files(name, kind):
    norm = hydra.utils.instantiate(OmegaConf.load(CONFIGS / "norm" / f"{name}.yaml"))
    assert isinstance(norm(8), kind)


def test_no_norm_composes_to_null(tmp_path):
    (tmp_path / "root.yaml").write_text(
        f"hydra: {{searchpath: ['file://{CONFIGS}']}}\ndefaults: [{{norm: batch}}, _self_]\n"
    )
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert hydra.compose("root").norm.momentum == 0.9
        assert hydra.compose("root", overrides=["norm=none"]) == {"norm": None}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_config_of_an_algorithm_is_the_dense_convolution(name, normal, run, make):
    cfg = OmegaConf.load(CONFIGS / "conv" / f"{name}.yaml")
    assert (cfg._target_, cfg.algorithm) == ("cnnlab.nn.factories.dense", name)
    options = {k: cfg[k] for k in ("padding", "kernel_init", "algorithm")}
    place = {"kernel_size": 3, "spatial_shape": (5, 4)}
    dense = make(functools.partial(factories.dense, 8, 16, **place))
    other = make(functools.partial(factories.dense, 8, 16, **place, **options))
    able = {"direct", *ops.algorithms((5, 4, 8), (3, 3, 8, 16))}
    assert other.algorithm == (name if name in able else "auto")
    other = eqx.tree_at(lambda m: (m.weight, m.bias), other, (dense.weight, dense.bias))
    x = normal(2, 5, 4, 8)
    expected = run(dense, x)
    np.testing.assert_allclose(run(other, x), expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_an_algorithm_that_cannot_serve_a_place_is_left_to_auto(make):
    def chosen(name, places):
        conv = functools.partial(factories.dense, 3, 4, algorithm=name)
        return [make(functools.partial(conv, **place)).algorithm for place in places]

    able = lambda **options: set(ops.algorithms((4, 4, 3), (3, 3, 3, 4), **options))
    step = [{"kernel_size": 3, "spatial_shape": (8, 8), "stride": s} for s in (1, 2)]
    for name in able() - able(stride=2):
        assert chosen(name, step) == [name, "auto"]
    size = [{"kernel_size": 3, "spatial_shape": (n, n)} for n in (4, 64)]
    small = able() - set(ops.algorithms((64, 64, 3), (3, 3, 3, 4)))
    assert small
    for name in small:
        assert chosen(name, size) == [name, "auto"]


def test_groups_are_what_the_channels_allow(getkey):
    place = {"kernel_size": 3, "spatial_shape": (4, 4), "kernel_init": "zeros", "key": getkey()}
    groups = lambda f, *channels, **kw: f(*channels, **place, **kw).groups
    assert groups(factories.grouped, 16, 24) == 8
    assert groups(factories.grouped, 3, 32) == 1
    assert groups(factories.grouped, 12, 32, groups=8) == 4
    assert groups(factories.depthwise, 8, 16) == 8
    assert groups(factories.depthwise, 1, 32) == 1
    assert groups(factories.depthwise, 3, 32) == 1
    assert groups(factories.depthwise, 64, 96) == 32
    assert groups(factories.long, 3, 8, groups=64) == 1
    with pytest.raises(ValueError, match=r"^groups: expected an int > 0, got 0$"):
        groups(factories.grouped, 8, 8, groups=0)


def test_options_reach_the_layer(getkey):
    place = {"kernel_size": 3, "spatial_shape": (9,), "kernel_init": "zeros", "key": getkey()}
    assert factories.dilated(2, 4, **place).dilation == (2,)
    assert factories.dilated(2, 4, **place, dilation=3).dilation == (3,)
    assert factories.long(2, 4, **place, padding="CAUSAL").kernel_size == (9,)
    separable = factories.depthwise_separable(2, 4, **place, channel_multiplier=3)
    assert separable.depthwise.weight.shape == (3, 1, 6)
    padded = factories.dense(2, 4, **place, padding_mode="circular", algorithm=ops.REFERENCE)
    assert (padded.padding_mode, padded.algorithm) == ("circular", ops.REFERENCE)
    with pytest.raises(TypeError, match="dilaton"):
        factories.dilated(2, 4, **place, dilaton=3)


HYENA = functools.partial(nn.filters.Hyena, span=5, width=4, bands=2)


def test_a_filter_makes_long_kernels_of_few_parameters_along_each_axis(normal, run, getkey):
    layer = factories.long(3, 4, kernel_size=3, spatial_shape=(5, 4), filter=HYENA, key=getkey())
    x = normal(2, 5, 4, 3)
    expected = np.asarray(x, np.float64)
    for axis, along in enumerate(layer.along, 1):
        n = x.shape[axis]
        past, future = np.asarray(along.filter.kernel(n)), np.asarray(along.future.kernel(n - 1))
        matrix = np.zeros((n, n, 3))
        for i, j in np.ndindex(n, n):
            matrix[i, j] = past[i - j] if i >= j else future[j - i - 1]
        matrix += np.eye(n)[..., None] * np.asarray(along.skip)
        rows = np.einsum("ijc,...jc->...ic", matrix, np.moveaxis(expected, axis, -2))
        expected = np.moveaxis(rows, -2, axis)
    expected = expected @ np.asarray(layer.pointwise.weight)[0, 0]
    np.testing.assert_allclose(run(layer, x), expected, rtol=1e-4, atol=1e-4)


def test_a_filter_serves_any_rank_and_stride(getkey):
    for rank, padding in ((1, "CAUSAL"), (3, "SAME")):
        spatial = (5, 4, 3)[:rank]
        place = {"kernel_size": 3, "spatial_shape": spatial, "key": getkey()}
        make = functools.partial(factories.long, 2, 6, filter=HYENA, padding=padding, stride=2)
        layer = eqx.filter_eval_shape(make, **place)
        assert [along.future is None for along in layer.along] == [padding == "CAUSAL"] * rank
        x = jax.ShapeDtypeStruct((2, *spatial, 2), jnp.float32)
        assert eqx.filter_eval_shape(layer, x).shape == (2, *(-(-n // 2) for n in spatial), 6)
    for padding, message in (("VALID", "'VALID'"), ("CAUSAL", "'CAUSAL' needs 1 spatial axis")):
        with pytest.raises(ValueError, match=f"^padding: .*{message}"):
            factories.long(2, 6, spatial_shape=(4, 4), filter=HYENA, padding=padding, key=getkey())
