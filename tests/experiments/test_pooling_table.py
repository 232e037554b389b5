"""The question `pooling_table`: a tiny scale, its networks, and its judge on made-up data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiments.pooling_table import POOLS, PUBLISHED, Net, pooled, question

from cnnlab.config import ConfigError
from cnnlab.models import count_parameters
from experiments import pooling_table


def test_tiny(tiny, monkeypatch):
    few = pooling_table.sequences(100)
    assert len(few.train) == 100 and len(few.test) == 1000
    monkeypatch.setattr(pooling_table, "sequences", lambda size: few)
    result = tiny("pooling_table", "sizes=[1000]", "seeds=1", "steps=2", "every=1")
    assert len(result["data"]["runs"]) == 5 and len(result["data"]["baselines"]) == 1


def test_settings_that_do_not_fit_are_refused(tiny):
    with pytest.raises(ConfigError, match=r"^sizes: expected some of \[1000, 5000, 50000\], got"):
        tiny("pooling_table", "sizes=[1000,2000]")
    with pytest.raises(ConfigError, match=r"^every: expected a divisor of steps=6000, got 7$"):
        tiny("pooling_table", "every=7")


def test_networks_are_those_of_the_notebook():
    sizes = {pool: 800 if pool == "none" else 200 for pool in POOLS}
    for pool, features in sizes.items():
        net = Net(40, 10, pool=pool, key=jax.random.key(0))
        assert net.linear.weight.shape == (features, 10)
        assert count_parameters(net) == 4 * 20 + (60 + 1) * 20 + (features + 1) * 10
        assert net(jnp.zeros((2, 40))).shape == (2, 10)
    h = jnp.array([[[3.0], [4.0], [0.0], [0.0]]])
    found = {pool: pooled(h, pool)[0, :, 0].tolist() for pool in POOLS}
    assert found["max"] == [4, 0] and found["average"] == [3.5, 0] and found["L2"] == [5, 0]
    gradient = jax.grad(lambda h: pooled(h, "L2").sum())(h)[0, :, 0]
    np.testing.assert_allclose(gradient, [0.6, 0.8, 0, 0], rtol=1e-6)


def made_up(**off):
    """The published accuracies, but for some that are off, by pooling and size."""
    return {
        "runs": [
            {
                "size": size, "pool": pool, "seed": seed,
                "accuracy": value + off.get(f"{pool}_{size}", 0) + 0.1 * seed,
            }
            for size in (1_000, 50_000)
            for pool, value in PUBLISHED[size].items()
            for seed in range(5)
        ],
        "baselines": [{"size": size, "baseline": 35.0} for size in (1_000, 50_000)],
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}
    assert set(verdicts(question, made_up(none_1000=-30)).values()) == {"inconclusive"}


@pytest.mark.parametrize(
    ("claims", "off"),
    [
        ({"table"}, {"max_50000": -8, "max_1000": -1}),
        ({"table", "few"}, {"stride_1000": 30}),
        ({"table", "many"}, {"L2_50000": 30}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claims, off):
    found = verdicts(question, made_up(**off))
    assert {claim for claim, verdict in found.items() if verdict == "fails"} == claims
