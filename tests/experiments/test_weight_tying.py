"""The question `weight_tying`: copies of a kernel, a tiny scale, and verdicts on made-up data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiments.weight_tying import copies, question, spread, total
from made_up import changed

from cnnlab import ops
from cnnlab.config import ConfigError

GRADIENTS = [
    {"loss": "linear", "sum": 1e-15, "mean": 0.9},
    {"loss": "largest", "sum": 0.0, "mean": 0.5},
]
RUN = {"optimizer": "sgd", "pooled": [0.0, 0.0], "own": [0.1, 0.2], "from_conv": [0.0, 1e-15]}
DATA = {"gradients": GRADIENTS, "trainings": [RUN, RUN]}
EXPECTED = {"pooled": "holds", "mean": "fails", "stays_tied": "holds", "required": "holds"}


def test_tiny(tiny):
    result = tiny("weight_tying", "geometries=1", "updates=1", "steps=2")
    assert {c["name"]: c["verdict"] for c in result["claims"]} == EXPECTED
    assert {len(run["own"]) for run in result["data"]["trainings"]} == {2}


def test_no_step_is_refused(tiny):
    with pytest.raises(ConfigError, match=r"^steps: expected a whole number >= 1, got 0"):
        tiny("weight_tying", "steps=0")


@pytest.mark.parametrize(
    ("path", "value", "claim", "verdict"),
    [
        (("gradients", 1, "sum"), 1e-3, "pooled", "fails"),
        (("gradients", 1, "sum"), float("nan"), "pooled", "fails"),
        (("trainings", 1, "pooled", 0), 1e-3, "stays_tied", "fails"),
        (("trainings", 0, "from_conv", 1), 1e-3, "stays_tied", "fails"),
        (("trainings", 0, "own", 1), 0.0, "required", "fails"),
    ],
)
def test_one_number_changes_one_verdict(verdicts, path, value, claim, verdict):
    assert verdicts(question, changed(DATA, path, value)) == EXPECTED | {claim: verdict}


def test_the_judge(verdicts):
    assert verdicts(question, DATA) == EXPECTED
    one_position = [{"loss": "linear", "sum": 0.0, "mean": 0.0}]
    assert verdicts(question, {**DATA, "gradients": one_position}) == EXPECTED | {"mean": "holds"}


@pytest.mark.parametrize("rank", [1, 2])
def test_copies_make_a_convolution(rank):
    """And their gradients the kernel's, added up in a plain loop."""
    rng = np.random.default_rng(rank)
    x = jax.device_put(rng.standard_normal((2, *(6,) * rank, 2)).astype(np.float32))
    kernel = jax.device_put(rng.standard_normal((*(3,) * rank, 2, 4)).astype(np.float32))
    geometry = {"stride": 2, "padding": "SAME"}
    weights = copies(kernel, (3,) * rank)
    y = ops.local_conv(x, weights, window=3, **geometry)
    np.testing.assert_allclose(y, ops.conv(x, kernel, **geometry), rtol=1e-5, atol=1e-5)
    loss = lambda y: (y**3).sum()
    own = jax.grad(lambda w: loss(ops.local_conv(x, w, window=3, **geometry)))(weights)
    shared = jax.grad(lambda k: loss(ops.conv(x, k, **geometry)))(kernel)
    added = np.zeros(own.shape[rank:])
    for position in np.ndindex(*own.shape[:rank]):
        added += np.asarray(own[position])
    np.testing.assert_allclose(total(own), added, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(added, shared.reshape(added.shape), rtol=1e-4, atol=1e-3)
    assert spread(weights) == 0.0 < spread(own)


def test_spread_by_hand():
    weights = jnp.array([[[1.0, 5.0]], [[1.5, 2.0]], [[0.5, 4.0]]])
    assert spread(weights) == 3.0
