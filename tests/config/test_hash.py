"""A config's short name: the same for equal configs, another for different ones."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from cnnlab.config import compose, config_hash

BASE = {"a": 1, "b": {"c": [1, 2.5, None], "d": "x"}, "e": True}


def test_equal_configs_have_equal_hashes():
    expected = config_hash(BASE)
    assert len(expected) == 10
    assert set(expected) <= set("0123456789abcdef")
    assert config_hash({"e": True, "b": {"d": "x", "c": [1.0, 2.5, None]}, "a": 1.0}) == expected
    assert config_hash(OmegaConf.create({**BASE, "a": "${b.c.0}"})) == expected
    assert config_hash(BASE, length=64).startswith(expected)


@pytest.mark.parametrize(
    "other",
    [
        {**BASE, "a": 2},
        {**BASE, "a": "1"},
        {**BASE, "e": 1},
        {**BASE, "b": {"c": [2.5, 1, None], "d": "x"}},
        {**BASE, "b": {"c": [1, 2.5], "d": "x"}},
        {**BASE, "f": None},
        {k: v for k, v in BASE.items() if k != "e"},
    ],
)
def test_different_configs_have_different_hashes(other):
    assert config_hash(other) != config_hash(BASE)


def test_excluded_keys_do_not_count():
    other = {**BASE, "a": 9, "b": {**BASE["b"], "d": "y"}, "new": 3}
    assert config_hash(other, ("a", "b.d", "new")) == config_hash(BASE, ("a", "b.d", "absent.key"))
    assert config_hash(other, ("a",)) != config_hash(BASE, ("a",))
    assert config_hash(BASE, ("b",)) == config_hash({"a": 1, "e": True})


def test_the_order_of_a_pipeline_counts():
    crop, flip = {"_target_": "cnnlab.Crop", "padding": 2}, {"_target_": "cnnlab.Flip"}
    assert config_hash({"x": {"crop": crop, "flip": flip}}) != config_hash(
        {"x": {"flip": flip, "crop": crop}}
    )
    assert config_hash({"x": {"crop": crop}}) == config_hash(
        {"x": {"crop": {"padding": 2, "_target_": "cnnlab.Crop"}}}
    )


def test_of_composed_configs(configs):
    base = config_hash(compose(config_dir=configs))
    assert config_hash(compose(["epochs=10"], config_dir=configs)) == base
    assert config_hash(compose(["batch_size=65"], config_dir=configs)) != base
    seeds = [config_hash(compose([f"seed={i}"], config_dir=configs), ("seed",)) for i in (1, 2)]
    assert seeds[0] == seeds[1]


def test_the_same_in_another_process():
    code = f"from cnnlab.config import config_hash; print(config_hash({BASE!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == config_hash(BASE)
