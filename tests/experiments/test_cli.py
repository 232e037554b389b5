"""The commands as a user gives them: train, evaluate, predict, finetune; sweeps, typos."""

import json
import os
import shutil
import sys

import jax
import jaxtyping
import numpy as np
import pytest
from commands import ROOT, SMALLER, TINY, run
from PIL import Image

from cnnlab.config import load_predictor, load_run
from cnnlab.data.picture import read_picture
from cnnlab.train.checkpoint import read


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run from another working directory, its output and its run directory."""
    folder = tmp_path_factory.mktemp("elsewhere")
    out, _ = run("train", *TINY, cwd=folder)
    [result] = folder.glob("outputs/train/*-s0/result.json")
    return folder, out, result.parent


def test_train_leaves_what_the_readme_says(trained):
    _, out, directory = trained
    assert out.startswith("test accuracy ")
    assert out.splitlines()[-1] == f"run directory {directory.relative_to(directory.parents[2])}"
    names = {p.name for p in directory.iterdir() if not p.name.startswith(".")}
    assert names == {"config.yaml", "metrics.jsonl", "result.json", "checkpoints", "figures"}
    assert {p.name for p in (directory / "figures").iterdir()} == {"curves.png", "confusion.png"}
    assert json.loads((directory / "result.json").read_text())["test_examples"] == 40


def test_the_same_command_says_that_it_is_complete(trained, call, monkeypatch):
    folder, out, _ = trained
    monkeypatch.chdir(folder)
    again, _ = call("train", *TINY)
    assert again.splitlines() == [
        "this config is complete; force=true runs it again",
        *out.splitlines(),
    ]


def test_evaluate(trained, call, drawn):
    _, out, directory = trained
    said, _ = call("evaluate", f"run={directory}", "tta=flip")
    assert said.splitlines()[0].split()[:2] == ["class", "examples"]
    assert len(said.splitlines()) == 1 + 10 + 2
    picture = directory / "figures" / "confusion-test-flip.png"
    assert picture.stat().st_size > 5000
    plain, _ = call("evaluate", f"run={directory}")
    accuracy = json.loads((directory / "result.json").read_text())["test_accuracy"]
    assert f"test accuracy {accuracy:.4f}" in plain and f"test accuracy {accuracy:.4f}" in out


def test_a_run_that_is_only_to_be_read_is_evaluated(trained, tmp_path, call):
    """Its scores are what was asked for; that there is no picture of them is said."""
    run = tmp_path / "run"
    shutil.copytree(trained[-1], run, ignore=shutil.ignore_patterns("figures", ".*"))
    (run / "figures").write_text("in the way of the pictures")
    out, err = call("evaluate", f"run={run}")
    assert out == call("evaluate", f"run={trained[-1]}")[0].partition("picture")[0]
    picture = run / "figures" / "confusion-test.png"
    assert f"note: no picture: {picture}: could not be written: File exists\n" == err


def test_predict(trained, tmp_path, call):
    _, _, directory = trained
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    picture.save(tmp_path / "picture.png")
    out, _ = call("predict", f"run={directory}", f"image={tmp_path / 'picture.png'}", "top=10")
    percent = [float(line.split("%")[0]) for line in out.splitlines()]
    assert len(percent) == 10 and percent == sorted(percent, reverse=True)
    assert abs(sum(percent) - 100) < 1
    (tmp_path / "notes.png").write_text("not a picture")
    _, err = call("predict", f"run={directory}", f"image={tmp_path / 'notes.png'}", status=1)
    assert err.count("\n") == 1 and "is not a picture that can be read" in err


def test_predict_gives_the_answers_of_evaluate(trained, tmp_path, call):
    """A data set's own pictures, and its arrays; at other sizes too, where the head pools."""
    _, _, directory = trained
    experiment = load_run(directory, limit_eval=6)
    model, state, _ = experiment.trained()
    expected = experiment.evaluator(experiment.data.test)(model, state).answers
    predictor = load_predictor(directory)
    for image, probabilities in zip(experiment.data.test.image[:6], expected, strict=True):
        Image.fromarray(image[..., 0]).save(tmp_path / "own.png")
        np.save(tmp_path / "own.npy", image)
        for name in ("own.png", "own.npy"):
            picture = read_picture(tmp_path / name, predictor.form)
            np.testing.assert_allclose(predictor(picture), probabilities, atol=1e-6)
    larger = load_run(directory, size=[12, 10], limit_eval=6)
    stretched = larger.evaluator(larger.data.test)(*larger.trained()[:2]).answers
    assert larger.data.input_shape == (12, 10, 1) and np.abs(stretched - expected).max() > 1e-4
    np.testing.assert_array_equal(larger.data.mean, experiment.data.mean)
    image = larger.data.test.image[5]
    Image.fromarray(image[..., 0]).save(tmp_path / "larger.png")
    settings = [f"run={directory}", f"image={tmp_path / 'larger.png'}", "size=own"]
    out, err = call("predict", *settings, "top=1")
    assert err == "" and out.startswith(f"{stretched[5].max():6.1%}  ")
    assert out.split()[-1] == str(stretched[5].argmax())
    said, _ = call("evaluate", f"run={directory}", "data.size=[12,10]", "limit_eval=6")
    assert "views: none, size 12x10)" in said
    assert (directory / "figures" / "confusion-test-12x10.png").is_file()


def test_a_flattening_head_takes_one_size(tmp_path, call):
    call("train", *SMALLER, "head=flatten_mlp", "head.hidden=[4]", f"output={tmp_path}")
    [directory] = tmp_path.glob("train/*")
    Image.new("L", (16, 16)).save(tmp_path / "larger.png")
    given = [f"run={directory}", f"image={tmp_path / 'larger.png'}", "size=own"]
    for key, arguments in (("size", ["predict", *given]), ("data.size", ["evaluate", given[0]])):
        if key == "data.size":
            arguments.append("data.size=16")
        out, err = call(*arguments, status=2)
        assert out == "" and err.count("\n") == 1
        assert (
            f"error: {key}: this run's model takes examples of [8, 8, 1] only, got [16, 16, 1]"
            in err
        )


def test_export(trained, tmp_path, call):
    _, _, directory = trained
    file = tmp_path / "model.stablehlo"
    jaxtyping.config.update("jaxtyping_disable", True)  # a batch left open is no int
    try:
        out, _ = call("export", f"run={directory}", f"path={file}")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert out == f"{file}: (batch, 8, 8, 1), {file.stat().st_size:,} bytes\n"
    read, predictor = (
        jax.export.deserialize(bytearray(file.read_bytes())),
        load_predictor(directory),
    )
    images = load_run(directory, limit_eval=3).data.test.image
    for got, image in zip(read.call(images.astype(np.float32)), images, strict=True):
        np.testing.assert_allclose(got, predictor(image), atol=1e-6)


def test_finetune_freezes_the_backbone_to_the_bit(trained, tmp_path, call):
    _, _, directory = trained
    new = ["data=fake", "data.shape=[8,8,1]", "data.num_classes=3", "data.seed=1", "steps=4"]
    more = ["batch_size=16", "progress=false", f"output={tmp_path}", f"run={directory}"]
    out, _ = call("finetune", *new, *more)
    assert out.startswith("loaded 10 of 10 arrays of the backbone")
    before = read(max((directory / "checkpoints").glob("step-*")))[0]
    [path] = tmp_path.glob("finetune/*/checkpoints/step-*4.safetensors")
    after = read(path)[0]
    backbone = [name for name in before if name.startswith("model.backbone")]
    assert len(backbone) == 10
    for name in backbone:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    said, _ = call("evaluate", f"run={path.parents[1]}")
    assert "test accuracy" in said
    assert after["model.head.linear.weight"].shape == (6, 3)


def test_two_devices_from_the_command_line(trained, tmp_path, call):
    directory = trained[-1]
    call("train", *TINY, "runtime=pmap", "runtime.devices=2", f"output={tmp_path}")
    [result] = tmp_path.glob("train/*/result.json")
    one, two = (json.loads(p.read_text()) for p in (directory / "result.json", result))
    assert two["device"].startswith("2 x ")
    assert abs(two["test_loss"] - one["test_loss"]) < 1e-3


def test_a_bad_choice_of_evaluate_is_one_line(trained, call):
    _, _, directory = trained
    _, err = call("evaluate", f"run={directory}", "split=tset", status=2)
    assert err == "error: split: expected one of test, val, train, got 'tset'; did you mean test?\n"


def test_sweep_runs_every_job(tmp_path, call):
    call("train", "-m", *SMALLER, "conv=dense,pointwise", f"output={tmp_path}")
    results = [json.loads(p.read_text()) for p in tmp_path.glob("train/*/result.json")]
    assert len(results) == 2 and len({r["parameters"] for r in results}) == 2


@pytest.mark.parametrize(
    ("module", "values", "says"),
    [
        ("evaluate", ["checkpoint=last,nowhere"], "nowhere: no such checkpoint (job with"),
        ("predict", ["image=own.png,nowhere.png"], "image: no such file: 'nowhere.png'"),
        ("export", ["path=a,b", "checkpoint=last,nowhere"], "nowhere: no such checkpoint"),
        ("finetune", [*TINY[1:4], "checkpoint=last,nowhere"], "nowhere: no such"),
        ("finetune", [*TINY[1:4], "batch_size=2,999999"], "batch_size: expected at most"),
        ("tune", [*TINY, "norm=group", "norm.groups=1,3"], "norm.groups: expected a divisor"),
        ("tune", ["grid=true", "table=a,/dev/null"], "table: /dev/null: not a table"),
        ("bench_conv", ["cases=3x3,nothing"], "cases: none of the"),
        ("bench_step", ["shape=[8,8,1],[9,9,1]"], "shape: [9, 9] can't be halved"),
        ("bench_models", ["networks=UNet,nothing", "modes=[jax]"], "networks: none of the"),
        ("book", ["only=[toeplitz]", "settings.toeplitz=['seed=1'],['seed=x']"], "seed: expected"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_a_sweep_is_tried_out_before_its_first_job(
    module, values, says, trained, tmp_path, call, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("own.png")
    runs = module in ("evaluate", "predict", "export", "finetune")
    given = [f"run={trained[-1]}"] if runs else []
    status = 1 if "no such" in says else 2
    out, err = call(module, "-m", *given, *values, status=status)
    assert out == "" and err.count("\n") == 1
    assert says in err and "(job with " in err
    assert [file.name for file in tmp_path.iterdir()] == ["own.png"]


COMMANDS = sorted(
    file.stem for file in (ROOT / "experiments").glob("[a-z]*.py") if "main" in file.read_text()
)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_reader_that_has_enough_is_no_error(module, trained, tmp_path, call, monkeypatch):
    """As `| head -1` is, once it has its line."""
    Image.new("L", (8, 8)).save(tmp_path / "own.png")
    some = {"predict": [[f"run={trained[-1]}", f"image={tmp_path / 'own.png'}"]]}
    for arguments in (["--help"], *some.get(module, [])):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "w") as closed:
            monkeypatch.setattr(sys, "stdout", closed)
            _, err = call(module, *arguments, status=141)
        assert err == ""


WRONG = [
    ("backbone.plan=[32,-64]", "backbone.plan[1]: expected a channel count > 0 or 'M', got -64"),
    ("optimizer.lr=-1.0", "optimizer.lr: expected a number > 0"),
    ("optimizer.momentum=1.5", "optimizer.momentum: expected a number from 0 to below 1"),
    ("head.pool=mean", "head.pool: "),
    ("conv.algorithm=magic", "conv.algorithm: "),
    ("conv.kernel_init=he", "conv.kernel_init: "),
    ("backbone.activation=rely", "backbone.activation: "),
    ("backbone.pool=min", "backbone.pool: "),
    ("precision=float64", "precision: expected one of float32, bfloat16"),
    ("tta=five", "tta: expected one of none, flip, shift"),
    ("select=first", "select: expected one of last, best"),
    ("batch_size=0", "batch_size: expected a whole number from 1"),
    ("batch_size=2.5", "batch_size: expected a whole number"),
    ("batch_size=100000", "batch_size: expected at most"),
    ("accumulate=0", "accumulate: expected a whole number from 1"),
    ("clip_norm=0.0", "clip_norm: expected a number > 0 or null, got 0.0"),
    ("average=1.5", "average: expected a number from 0"),
    ("label_smoothing=1.0", "label_smoothing: expected a number from 0 to below 1"),
    ("patience=0", "patience: expected a whole number >= 1 or null"),
    ("schedule.peak=2.0", "schedule.peak: expected a number from 0 to 1"),
    ("augment.flip.speed=1", "augment.flip.speed: "),
    ("data.val_fraction=2", "data.val_fraction: "),
    ("profile={start:0,steps:2}", "profile.start: expected a whole number >= 2"),
    ("seed=-1", "seed: expected a whole number >= 0"),
    ("runtime=[jit]", "runtime"),
    ("epochs=five", "epochs: expected a number > 0 or null, got 'five'"),
    ("epochs=0", "epochs: "),
    ("optimzer.lr=1", "optimzer.lr: no such key; did you mean optimizer.lr?"),
    ("backbone=vgg12", "did you mean vgg1"),
    ("conv=dens", "did you mean dense?"),
    ("data._target_=os.system", "data._target_: "),
    ("backbone._target_=cnnlab.config.cli.os.system", "backbone._target_: "),
]


@pytest.mark.parametrize(("override", "message"), WRONG, ids=[w[0] for w in WRONG])
def test_wrong_override_is_one_line_and_nothing_is_written(override, message, call, tmp_path):
    out, err = call("train", *TINY, f"output={tmp_path}", override, status=2)
    assert out == "" and err.count("\n") == 1 and err.startswith("error: ")
    assert message in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", ["evaluate", "predict", "finetune"])
def test_a_missing_run_is_one_line(module, call):
    more = ["image=x.png"] if module == "predict" else []
    out, err = call(module, "run=nowhere", *more, status=2)
    assert out == "" and err.count("\n") == 1
    assert "run: expected a run directory with a config.yaml, got 'nowhere'" in err
