"""Exported models: read back, for any batch size, they give what the model gives."""

import equinox as eqx
import jax
import jax.random as jr
import jaxtyping
import numpy as np
import pytest

import cnnlab
from cnnlab.config import build_model, compose


# A size that is left open is no int, which annotations say sizes are.
@pytest.fixture(autouse=True)
def unchecked():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


CONVS = ("dense", "lax", "native", "direct", "depthwise_separable", "fft")


@pytest.mark.parametrize("conv", CONVS)
def test_a_classifier(conv, tmp_path):
    cfg = compose(["backbone.plan=[8,M,8]", f"conv={conv}", "head.pool=max"])
    model, state = build_model(cfg, (6, 6, 2), 10, key=jr.key(0))
    file = tmp_path / "model.stablehlo"
    cnnlab.export(model, (6, 6, 2), file, state)
    read = jax.export.deserialize(bytearray(file.read_bytes()))
    assert "@cnnlab" not in read.mlir_module()
    model = eqx.nn.inference_mode(model)
    for batch in (1, 5):
        x = jr.normal(jr.key(batch), (batch, 6, 6, 2))
        expected = model(x, state)[0]
        np.testing.assert_allclose(read.call(x), expected, rtol=1e-4, atol=1e-5)
