"""Checkpoints: exact, self-describing, atomic, and refused when damaged."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest
import safetensors

from cnnlab.train.arrays import CheckpointError, state_arrays, with_state_arrays
from cnnlab.train.checkpoint import Checkpoints, read, write


def equal(a, b):
    left, right = state_arrays(a), state_arrays(b)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def moved(state):
    """Another state of the same shapes: every number is different."""
    arrays = {
        name: (v + 1).astype(v.dtype) if v.dtype != np.bool_ else ~v
        for name, v in state_arrays(state).items()
    }
    return with_state_arrays(state, arrays)


def test_round_trip_of_everything(tiny, tmp_path):
    state = tiny("average=0.9", "optimizer=adamw", "accumulate=2").initial_state()
    other = moved(state)
    write(tmp_path / "a", state_arrays(other), {"config": {"x": 1}, "data": {}, "loop": {"y": 2.5}})
    arrays, header = read(tmp_path / "a")
    equal(with_state_arrays(state, arrays), other)
    assert header["config"] == {"x": 1} and header["loop"] == {"y": 2.5}
    assert header["versions"]["jax"] == jax.__version__
    assert "model.backbone.stages[0].layers[0].weight" in arrays
    assert any(name.startswith("average.") and "running" in name for name in arrays)
    assert {"step", "key"} < arrays.keys()
    leaves = jax.tree.leaves(eqx.filter(with_state_arrays(state, arrays), eqx.is_array))
    assert len(leaves) == len(jax.tree.leaves(eqx.filter(other, eqx.is_array)))


def test_any_safetensors_reader_opens_it(tiny, tmp_path):
    state = tiny().initial_state()
    write(tmp_path / "a", state_arrays(state), {"config": {}, "data": {}, "loop": {}})
    with safetensors.safe_open(tmp_path / "a", framework="numpy") as file:
        weight = file.get_tensor("model.backbone.stages[0].layers[0].weight")
    np.testing.assert_array_equal(weight, state.model.backbone.stages[0].layers[0].weight)


@pytest.mark.parametrize(
    "damage", ["truncated", "altered", "header", "empty", "not ours", "pickle"]
)
def test_damage_is_named_and_the_previous_one_used(tiny, tmp_path, damage):
    state = tiny().initial_state()
    checkpoints = Checkpoints(tmp_path, {}, {})
    checkpoints.save(state, {"best": 0.5})
    later = moved(state)
    path = checkpoints.save(later, {"best": 0.7})
    content = path.read_bytes()
    path.write_bytes(
        {
            "truncated": content[:-100],
            "altered": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
            "header": content.replace(b": 0.7", b": 0.9"),
            "empty": b"",
            "not ours": (2).to_bytes(8, "little") + b"{}",
            "pickle": b"\x80\x04cos\nsystem\n(S'false'\ntR.",
        }[damage]
    )
    with pytest.raises(CheckpointError, match=path.name):
        read(path)
    restored, kept, header, refused = checkpoints.restore(state)
    equal(restored, state)
    assert header["loop"] == {"best": 0.5} and kept == checkpoints.by_step()[1]
    assert len(refused) == 1 and path.name in refused[0]
    checkpoints.by_step()[1].unlink()
    with pytest.raises(CheckpointError, match=path.name):
        checkpoints.restore(state)


def test_two_are_kept_and_the_best(tiny, tmp_path):
    state = tiny().initial_state()
    checkpoints = Checkpoints(tmp_path, {}, {})
    assert checkpoints.restore(state) is None
    checkpoints.save_best(state, {})
    for _ in range(4):
        state = moved(state)
        checkpoints.save(state, {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.safetensors", "step-000000003.safetensors", "step-000000004.safetensors"]


def test_other_model_does_not_fit(tiny, tmp_path):
    wide = tiny("backbone.plan=[16,M]").initial_state()
    with pytest.raises(CheckpointError, match=r"does not fit this config: .*expected float32"):
        with_state_arrays(tiny().initial_state(), state_arrays(wide))


def test_header_is_json(tiny, tmp_path):
    arrays = state_arrays(tiny().initial_state())
    write(tmp_path / "a", arrays, {"config": {}, "data": {}, "loop": {}})
    with safetensors.safe_open(tmp_path / "a", framework="numpy") as file:
        header = file.metadata()
    assert header.pop("format") == "cnnlab-checkpoint-1"
    assert header.pop("header_crc32").isdigit()
    assert all(isinstance(json.loads(value), dict) for value in header.values())
