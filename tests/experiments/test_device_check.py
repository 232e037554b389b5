"""The check of a device, small, on the CPU."""

import json
import subprocess
import sys

import jax
import pytest

from cnnlab.config import compose, instantiate
from cnnlab.ops import PASSES, REFERENCE, REGISTRY, describe
from experiments import device_check
from experiments.device import Job, cells, speed, training, tuning

NOT_NEEDED = ("hydra", "omegaconf", "tensorflow_datasets", "safetensors", "PIL", "matplotlib",
              "rich", "grain", "sklearn", "torch")  # fmt: skip


def test_a_page_with_every_part(tmp_path, capsys):
    # Of the parts that other tests run whole, the smallest case.
    parts = "curves,long,grid,tuning,precision,layers,memory"
    assert device_check.main([f"output={tmp_path}", f"parts={parts}", "small=true"]) == 0
    kept, page = sorted(tmp_path.iterdir())
    assert capsys.readouterr().out.strip() == str(page) and page.name == "device-cpu.md"
    text = page.read_text()
    assert "failed" not in text and "apart" not in text and "off by" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for name in (
        "jit on the CPU",
        "jit",
        "pmap",
        "shard",
        "3x3 3->4, 8x8, batch 2, bfloat16",
        "1 x 64 x 4, float32",
        "Conv2d",
    ):
        assert any(row.startswith(f"| {name} |") for row in rows), name
    assert f"jax {jax.__version__}" in text and "this process: " in text
    assert kept.name == "device-cpu.json"
    entries = json.loads(kept.read_text())["entries"]
    assert {line.split()[-1] for line in entries} == {"float32", "bfloat16"}
    for passes in entries.values():
        assert set(passes) == set(PASSES) and all(REFERENCE in times for times in passes.values())


def test_rules_say_where_the_reference_loses():
    problem = describe((2, 8, 8, 4), (3, 3, 1, 4), dilation=2, groups=4)
    name = next(n for n in REGISTRY if n != REFERENCE)
    slow, close = {REFERENCE: 3.0, name: 1.0}, {REFERENCE: 1.1, name: 1.0}
    measured = {problem: dict(zip(PASSES, (slow, close, close), strict=True))}
    about, _, *rules = tuning.rules(measured)
    assert about == f"`{REFERENCE}` loses by more than 15% in 1 of 3 passes of cases:"
    assert rules == [f"- depthwise dilated float32, forward: `{name}`, 3 times as fast (cases: 1)"]


def test_a_part_that_fails_is_a_line_and_the_others_go_on(tmp_path, monkeypatch):
    def broken(job):
        assert "Not measured yet: Convolutions, Memory." in (tmp_path / "device-cpu.md").read_text()
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(speed, "grid", broken)
    page = device_check.check(10, tmp_path, ["grid", "memory"])
    text = page.read_text()
    assert "Not measured" not in text
    assert "**failed**: RuntimeError: no luck" in text and "this process: " in text


def test_a_part_keeps_to_its_time(tmp_path):
    page = device_check.check(1e-9, tmp_path, ["steps", "memory"], small=True)
    assert "no time left" in page.read_text() and "this process: " in page.read_text()
    # What has begun is shown; of the rest it says that there was no time.
    assert cells(lambda job: ["1", "2"], Job(until=0.0), 2) == ["no time left", ""]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("sceonds=3", "sceonds=3: expected one of seconds=, "),
        ("seconds=abc", "seconds: expected a number above 0"),
        ("seconds=nan", "seconds: expected a number above 0"),
        ("parts=grd", "parts: expected some of algorithms, "),
        ("small=1", "small: expected true or false, got 1"),
        ("data=/nowhere", "data: expected a folder, got /nowhere"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(argument, message, capsys):
    assert device_check.main([argument]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1


def test_a_page_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed, "grid", lambda job: pytest.fail("it has begun"))
    (tmp_path / "file").touch()
    assert device_check.main([f"output={tmp_path / 'file'}", "parts=grid"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: output: ") and error.count("\n") == 1


@pytest.mark.parametrize("name", training.PRESETS)
def test_presets_are_what_the_experiments_say(name):
    cfg, preset = compose([f"experiment={name}"]), training.PRESETS[name]
    for key in ("epochs", "batch_size", "tta", "label_smoothing", "average"):
        assert cfg[key] == getattr(preset, key), key
    assert cfg.data.val_fraction == preset.val_fraction
    assert tuple(cfg.backbone.plan) == preset.plan
    optimizer = {k: v for k, v in cfg.optimizer.items() if not k.startswith("_")}
    assert optimizer == {"lr": preset.lr, **training.MUON}
    assert cfg.schedule._target_.endswith("onecycle")
    assert (cfg.schedule.peak, cfg.schedule.start, cfg.schedule.final) == (0.2, 0.1, 0.0)
    made = [instantiate(one, key="augment") for one in cfg.augment.values()]
    assert made == list(preset.augment)


def test_it_imports_nothing_that_a_bare_machine_lacks():
    script = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {NOT_NEEDED!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import experiments.device_check
from experiments.device import agreement, layers, speed, training, tuning
"""
    subprocess.run([sys.executable, "-c", script], check=True)
