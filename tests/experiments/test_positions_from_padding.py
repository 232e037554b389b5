"""The question `positions_from_padding`: a tiny scale, and its judge on made-up data."""

import numpy as np
import pytest
from experiments.positions_from_padding import MODES, SIDE, TORUS, ZEROS, explained, question


def test_tiny(tiny):
    tiny_scale = (
        "depths=2",
        "channels=4",
        "images=4",
        "networks=1",
        "seeds=1",
        "steps=1",
        "batch_size=8",
    )
    result = tiny("positions_from_padding", *tiny_scale)
    found = {claim["name"]: claim["verdict"] for claim in result["claims"]}
    assert [found[name] for name in ("reach", "torus", "invariant")] == ["holds"] * 3


def test_a_readout_explains_what_is_there():
    maps = np.random.default_rng(1).standard_normal((4, 8, 8, 3))
    assert explained(maps) < 0.2
    maps[..., 0] = np.abs(np.arange(8) - 3.5)[:, None]
    assert explained(maps) == pytest.approx(1)


def made_up(zeros=0.5, right=98, far=0, same=100):
    """Two layers, and 100 digits in two places each."""
    line = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1])
    near = np.minimum.outer(line, line)
    seeded = [(mode, seed) for mode in MODES for seed in range(3)]
    differs = lambda mode, depth: near < depth + far if mode == ZEROS else near < far
    return {
        "random": [
            {"mode": mode, "seed": seed, "depth": depth,
             "differs": differs(mode, depth).astype(int).tolist(),
             "explained": (zeros if mode == ZEROS else 0.1) + 0.01 * seed}
            for mode, seed in seeded for depth in (1, 2)
        ],
        "trained": [
            {"mode": mode, "seed": seed, "tests": 200, "right": 2 * right + seed, "same": same}
            for mode, seed in seeded if mode in (ZEROS, TORUS)
        ],
    }  # fmt: skip


def test_the_judge(verdicts):
    assert set(verdicts(question, made_up()).values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "spoilt"),
    [
        ("reach", {"far": 1}),
        ("torus", {"far": 1}),
        ("encoded", {"zeros": 0.05}),
        ("exploited", {"right": 60}),
        ("invariant", {"same": 99}),
    ],
)
def test_the_judge_where_one_fails(verdicts, claim, spoilt):
    assert verdicts(question, made_up(**spoilt))[claim] == "fails"
