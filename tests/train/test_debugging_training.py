"""Training under JAX's debugging settings: the losses that it has without."""

import jax
import numpy as np
import pytest

from cnnlab.config import build, compose

SETTINGS = (
    {"jax_disable_jit": True},
    {
        "jax_numpy_dtype_promotion": "strict",
        "jax_numpy_rank_promotion": "raise",
        "jax_debug_nans": True,
        "jax_enable_checks": True,
        "jax_check_tracer_leaks": True,
    },
)
SHORT = (
    *("data=fake", "data.shape=[6,6,1]", "data.train_size=32", "data.test_size=16"),
    *("backbone.plan=[4,M]", "optimizer=sgd", "augment=[flip]"),
    *("batch_size=16", "eval_batch_size=16"),
    *("epochs=null", "steps=1", "progress=false"),
)


def losses(folder):
    result = build(compose([*SHORT, f"output={folder}"])).run()
    return [result["test_loss"], result["test_accuracy"]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return losses(tmp_path_factory.mktemp("plain"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", SETTINGS, ids=", ".join)
def test_training(settings, expected, tmp_path):
    before = {name: getattr(jax.config, name) for name in settings}
    try:
        for name, value in settings.items():
            jax.config.update(name, value)
        got = losses(tmp_path)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
