"""Residual and branched backbones, beside published numbers and their formulas."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from cnnlab import nn, ops
from cnnlab.config import compose
from cnnlab.models import VGG, ConvNeXt, ResNet, UNet, feature_info, named_arrays
from cnnlab.nn import factories

RESNET18 = [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512]
CONVNEXT_T = [*[96] * 3, "M", *[192] * 3, "M", *[384] * 9, "M", *[768] * 3]
valid = ft.partial(factories.dense, padding="VALID")


def abstract(make, *args, **options):
    return eqx.filter_eval_shape(eqx.nn.make_with_state(make), *args, key=jr.key(0), **options)[0]


def size(model):
    return sum(array.size for array in named_arrays(model).values())


def test_networks_for_imagenet_have_the_published_parameters():
    # Torchvision's whole networks have 11,689,512 and 28,589,128; the last layer has 1,000 classes,
    # and ConvNeXt's head a norm of its own.
    resnet = abstract(ResNet, (224, 224, 3), RESNET18, stem="imagenet")
    assert size(resnet) == 11_689_512 - 513_000
    convnext = abstract(ConvNeXt, (224, 224, 3), CONVNEXT_T)
    assert size(convnext) == 28_589_128 - 769_000 - 2 * 768
    assert (resnet.out_shape, convnext.out_shape) == ((7, 7, 512), (7, 7, 768))


def test_the_receptive_field_of_resnet18_is_the_published_one():
    # Araujo et al. 2019 (doi:10.23915/distill.00021), table 1.
    info = feature_info(abstract(ResNet, (224, 224, 3), RESNET18, stem="imagenet"))
    assert info[-1].receptive_field == (435, 435) and info[-1].stride == (32, 32)
    assert [stage.channels for stage in info] == [64, 64, 128, 256, 512]


def test_a_stem_for_small_images_keeps_their_size():
    info = feature_info(abstract(ResNet, (32, 32, 3), RESNET18))
    assert [stage.shape[0] for stage in info] == [32, 32, 16, 8, 4]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_residual_block_adds_its_shortcut(stride, make):
    conv = factories.dense
    block, state = make(nn.ResidualBlock, (5, 4, 3), 4, stride=stride, conv=conv, key=jr.key(0))
    x = jr.normal(jr.key(1), (2, 5, 4, 3))
    first, second = (part.layers[0] for part in block.branch)
    branch = ops.conv(x, first.weight, stride=stride) + first.bias
    branch = ops.conv(jnp.maximum(branch, 0), second.weight) + second.bias
    projection = block.shortcut.layers[0]
    beside = jnp.einsum("nhwc,cd->nhwd", x, projection.weight[0, 0]) + projection.bias
    expected = jnp.maximum(branch + beside[:, ::stride, ::stride], 0)
    y, _ = block(x, state)
    assert y.shape[1:] == block.out_shape
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_a_residual_block_that_keeps_the_shape_adds_its_input(make):
    block, state = make(nn.ResidualBlock, (4, 3), 3, conv=factories.dense, key=jr.key(0))
    zero = jax.tree.map(jnp.zeros_like, eqx.filter(block, eqx.is_array))
    silent = eqx.combine(zero, block)
    x = jr.normal(jr.key(1), (2, 4, 3))
    assert block.shortcut is None
    np.testing.assert_array_equal(silent(x, state)[0], jnp.maximum(x, 0))


def test_a_convnext_block_is_its_formula(make):
    options = {"norm": nn.LayerNorm, "kernel_size": 3, "key": jr.key(0)}
    block, state = make(nn.ConvNeXtBlock, (5, 6, 4), **options)
    block = eqx.tree_at(lambda b: b.scale.weight, block, jnp.arange(4.0))
    conv, norm, _ = block.spatial.layers
    assert conv.groups == 4 and conv.bias is not None
    x = jr.normal(jr.key(1), (2, 5, 6, 4))
    y = norm(conv(x))
    y = jax.nn.gelu(y @ block.expand.weight + block.expand.bias)
    y = y @ block.project.weight + block.project.bias
    np.testing.assert_allclose(block(x, state)[0], x + jnp.arange(4.0) * y, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "plan"),
    [((9, 6, 2), [2, "M", 3, "M", 4]), ((13, 1), [2, "M", 3]), ((3, 4, 2, 1), [2, "M", 3])],
    ids=str,
)
def test_a_unet_gives_every_position_its_features(shape, plan, make):
    model, state = make(UNet, shape, plan, key=jr.key(0))
    x = jr.normal(jr.key(1), (2, *shape))

    @eqx.filter_jit
    def of_first(x):
        y, back = jax.vjp(lambda x: model(x, state)[0], x)
        return y, back(jnp.zeros_like(y).at[0].set(1))[0]

    y, gradient = of_first(x)
    assert y.shape == (2, *shape[:-1], 2) and model.out_shape == y.shape[1:]
    # What a position gives depends on the input there, through the first block beside the rest.
    assert jnp.all(jnp.any(gradient[0] != 0, axis=-1)) and not jnp.any(gradient[1])


def test_a_unet_without_its_depths_sees_only_what_is_beside(make):
    """With the way up silent, the result is that of its last block on the first one's maps."""
    model, state = make(UNet, (6, 6, 1), [3, "M", 5], key=jr.key(0))
    up = jax.tree.map(jnp.zeros_like, eqx.filter(model.ups[0], eqx.is_array))
    silent = eqx.tree_at(lambda m: m.ups[0], model, eqx.combine(up, model.ups[0]))
    x = jr.normal(jr.key(1), (2, 6, 6, 1))
    beside, _ = model.stages[0](x, state)
    expected, _ = model.stages[2](jnp.concatenate([beside, 0 * beside], -1), state)
    np.testing.assert_allclose(silent(x, state)[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: abstract(ResNet, (8, 8, 1), [4], stem="vgg"), "stem: expected one of cifar"),
        (lambda: abstract(ResNet, (8, 8, 1), ["M", 4]), "plan\\[0\\]"),
        (lambda: abstract(ResNet, (8, 8, 1), [4], conv=valid), "conv: expected one whose result"),
        (lambda: abstract(ConvNeXt, (8, 8, 1), [4, 8]), "plan: expected the same channels"),
        (lambda: abstract(ConvNeXt, (8, 8, 1), [4], patch_size=0), "patch_size"),
        (lambda: abstract(ConvNeXt, (64, 64, 1), [4], conv=valid), "conv: expected one whose"),
        (lambda: abstract(UNet, (8, 8, 1), [4, "M"]), "plan: expected channels behind the last"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_pool_without_padding_rounds_down_as_the_published_networks_do():
    same, published = (
        abstract(VGG, (9, 7, 1), [2, "M", 3, "M"], pool_padding=padding)
        for padding in ("SAME", "VALID")
    )
    assert (same.out_shape, published.out_shape) == ((3, 2, 3), (2, 1, 3))


def test_a_backbone_brings_its_convolution_and_norm_unless_others_are_chosen():
    own = compose(["backbone=convnext_tiny", "data=digits"])
    assert own.conv._target_.endswith("depthwise") and own.norm._target_.endswith("LayerNorm")
    other = compose(["backbone=convnext_tiny", "data=digits", "conv=dense", "norm=none"])
    assert other.conv._target_.endswith("dense") and other.norm is None
