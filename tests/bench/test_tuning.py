"""What is measured of a model is kept, and taken from then on."""

import json
import math

import jax
import pytest

import cnnlab
from cnnlab import nn
from cnnlab.bench import tuning
from cnnlab.errors import ConfigError
from cnnlab.models import VGG
from cnnlab.ops import FOURIER, PASSES, REFERENCE, table

KEY = jax.random.key(0)
NAMES = (REFERENCE, FOURIER)


def test_a_model_s_convolutions_are_measured_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tuning, "serving", lambda problem: list(NAMES))
    model = VGG((6, 6, 1), [2, 2, 2], norm=None, key=KEY)
    found = cnnlab.tune(model, batch_size=3, seconds=1e-3, file=tmp_path / "table.json")
    assert capsys.readouterr().err == ""
    problems = tuning.convolutions(model, (6, 6, 1), 3)
    assert list(found.entries) == [table.key(p) for p in problems] and len(problems) == 2
    for passes in found.entries.values():
        assert list(passes) == list(PASSES)
        assert all(list(times) == list(NAMES) for times in passes.values())
    assert json.loads(found.file.read_text())["entries"] == found.entries
    assert f"as fast as {REFERENCE}" in repr(found) and "3x6x6x1 k3x3x1x2" in found._repr_html_()


def test_what_can_not_be_measured_or_kept_is_refused_first(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "measure_algorithms", None)
    layer = nn.Conv2d(1, 2, 3, key=KEY)
    with pytest.raises(ValueError, match="input_shape: expected the shape"):
        cnnlab.tune(layer)
    with pytest.raises(ConfigError, match=r"table: .*not a table of measurements"):
        (tmp_path / "notes.txt").write_text("mine")
        cnnlab.tune(layer, (6, 6, 1), file=tmp_path / "notes.txt")
    for wrong, says in (
        ({"batch_size": 0}, "^batch_size: expected an int > 0, got 0"),
        ({"batch_size": 1.5}, "^batch_size: expected a whole number, got 1.5"),
        ({"seconds": math.inf}, "^seconds: expected a finite number above 0, got inf"),
        ({"seconds": 0}, "^seconds: expected a finite number above 0, got 0"),
        ({"input_shape": (6, -6, 1)}, r"^input_shape\[1\]: expected an int > 0, got -6"),
        ({"input_shape": "ab"}, "^input_shape: expected a list"),
        ({"model": 3, "input_shape": (6, 6, 1)}, "^model: expected a layer or a network, got 3"),
        ({"file": "/proc/none.json"}, "^table: /proc.*: "),
    ):
        with pytest.raises((ValueError, TypeError), match=says):
            cnnlab.tune(**{"model": layer, "input_shape": (6, 6, 1), **wrong})
    assert not (tmp_path / "table.json").exists()
