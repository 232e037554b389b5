"""Exported models: read back, for any batch size, they give what the model gives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jaxtyping
import numpy as np
import pytest

import cnnlab
from cnnlab import nn, ops
from cnnlab.config import build_model, compose


# A size that is left open is no int, which annotations say sizes are.
@pytest.fixture(autouse=True)
def unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def check(model, shape, file, state=None):
    cnnlab.export(model, shape, file, state)
    read = jax.export.deserialize(bytearray(file.read_bytes()))
    assert "@cnnlab" not in read.mlir_module()
    model = eqx.nn.inference_mode(model)
    run = eqx.filter_jit(lambda x: model(x) if state is None else model(x, state)[0])
    for batch in (1, 5):
        x = np.random.default_rng(batch).standard_normal((batch, *shape), np.float32)
        np.testing.assert_allclose(read.call(x), run(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conv", ["dense", "depthwise_separable"])
def test_a_classifier(conv, tmp_path):
    cfg = compose(["backbone.plan=[8,M,8]", f"conv={conv}", "head.pool=max"])
    model, state = build_model(cfg, (6, 6, 2), 10, key=jr.key(0))
    check(model, (6, 6, 2), tmp_path / "model.stablehlo", state)


class Beside(eqx.Module):
    """Layers of one input, their results side by side."""

    layers: list

    def __call__(self, x):
        return jnp.concatenate([layer(x) for layer in self.layers], axis=-1)


def test_every_algorithm_and_every_kind_of_layer(tmp_path):
    shape, key = (5, 4, 8), jr.key(0)

    def served(name):
        """A layer that an algorithm serves: dense, of one pixel, or depthwise."""
        for size, groups in ((3, 1), (1, 1), (3, 8)):
            kernel = (size, size, 8 // groups, 8)
            if name not in ops.algorithms((1, *shape), kernel, groups=groups).refused:
                return nn.Conv2d(8, 8, size, groups=groups, algorithm=name, key=key)
        raise AssertionError(f"{name} serves none of these layers")

    by_algorithm = [served(name) for name in ops.ALGORITHMS]
    others = [
        nn.LocallyConnected2d(8, 3, 3, shape[:2], key=key),
        nn.LongConv2d(8, 3, shape[:2], key=key),
        nn.FullyConnected2d(8, 3, shape[:2], key=key),
    ]
    check(Beside([*by_algorithm, *others]), shape, tmp_path / "layers.stablehlo")
