"""Every backbone and head that the configs offer is built, on sequences, images and volumes."""

import functools
import importlib
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from omegaconf import OmegaConf

from cnnlab.models import Classifier

CONFIGS = Path(__file__).parents[2] / "configs"
BACKBONES = sorted(path.stem for path in CONFIGS.glob("backbone/*.yaml"))
HEADS = sorted(path.stem for path in CONFIGS.glob("head/*.yaml"))


def instantiate(group, name, *args, **kwargs):
    options = OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{name}.yaml"))
    for choice in options.pop("defaults", ()):
        own = [part for part in choice if not part.startswith("override ")]
        options |= {
            part: functools.partial(instantiate, f"{group}/{part}", choice[part]) for part in own
        }
    options.pop("_partial_", None)
    module, _, target = options.pop("_target_").rpartition(".")
    return getattr(importlib.import_module(module), target)(*args, **options, **kwargs)


def shapes(backbone, head, in_shape, key):
    """Shapes of the features and of the logits of two examples."""

    def build(key):
        body = instantiate("backbone", backbone, in_shape, key=key)
        return Classifier(body, instantiate("head", head, body.out_shape, 10, key=key))

    model, state = eqx.filter_eval_shape(eqx.nn.make_with_state(build), key)
    x = jax.ShapeDtypeStruct((2, *in_shape), jnp.float32)
    model = eqx.nn.inference_mode(model)
    return model.backbone.out_shape, eqx.filter_eval_shape(model, x, state)[0].shape


EXPECTED = {
    "convnext_tiny": (1, 768),
    "mlp": (512,),
    "prototype": (8, 64),
    "resnet18": (4, 512),
    "sequence": (32, 64),
    "squares": (1, 2),
    "unet": (32, 32),
    "vgg": (8, 128),
    "vgg_large": (4, 256),
    "vgg_medium": (8, 128),
    "vgg_sequence": (4, 64),
    "vgg_small": (8, 64),
    "vgg_strided": (8, 128),
    "vgg11": (1, 512),
    "vgg13": (1, 512),
    "vgg16": (1, 512),
    "vgg19": (1, 512),
}


@pytest.mark.parametrize(
    ("name", "rank"),
    [(name, rank) for name in BACKBONES for rank in (1, 2, 3) if name != "sequence" or rank == 1],
)
def test_backbone(name, rank, getkey):
    *size, channels = EXPECTED[name]
    features, logits = shapes(name, "linear", (32,) * rank + (3,), getkey())
    assert features == (*size * rank, channels)
    assert logits == (2, 10)


@pytest.mark.parametrize("name", HEADS)
def test_head(name, getkey):
    assert shapes("prototype", name, (8, 8, 1), getkey()) == ((2, 2, 64), (2, 10))


@pytest.mark.parametrize(
    "path", sorted([*CONFIGS.glob("backbone/**/*.yaml"), *CONFIGS.glob("head/*")])
)
def test_config_cites_its_section(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert any(source in first for source in ("A ", "B ", "arXiv:"))
