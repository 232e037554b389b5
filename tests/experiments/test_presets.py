"""Every config composes; every preset trains for a few steps through the command line."""

import itertools
import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cnnlab.config import compose
from cnnlab.config.networks import check_model

CONFIGS = Path(__file__).parents[2] / "configs"
GROUPS = (
    *("backbone", "conv", "norm", "head", "data", "augment", "loss", "optimizer", "schedule"),
    "runtime",
)
FAST = ["debug=fast", "progress=false", "batch_size=16", "limit_eval=32"]


def choices(group):
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


TARGET = lambda text: set(re.findall(r"^ *_target_: (\S+)", text, re.M))
NEEDED = {  # what these data sets have no default for
    "arrays": ["data.file=mine.npz"],
    "csv": ["data.file=mine.csv"],
    "folder": ["data.root=mine"],
    "tfds": ["data.name=mnist"],
}
SEVERAL = ("augment", "logger")  # groups of which a list is chosen
# A choice of every group at once: the first of each, then the second, and so on.
TOGETHER = list(itertools.zip_longest(*map(choices, CHOSEN := (*GROUPS, "logger", "debug"))))


@pytest.mark.parametrize("number", range(len(TOGETHER)))
def test_every_choice_composes(number):
    chosen = {g: c for g, c in zip(CHOSEN, TOGETHER[number], strict=True) if c}
    overrides = [f"{g}=[{c}]" if g in SEVERAL else f"{g}={c}" for g, c in chosen.items()]
    cfg = compose([*overrides, *NEEDED.get(chosen.get("data"), ())])
    for group, choice in chosen.items():
        assert group == "debug" or group in cfg
        text = (CONFIGS / group / f"{choice}.yaml").read_text()
        assert TARGET(text) <= TARGET(OmegaConf.to_yaml(cfg.get(group) or {}))


@pytest.mark.parametrize("shape", [(16, 3), (9, 9, 1), (6, 6, 6, 2)])
@pytest.mark.parametrize("conv", choices("conv"))
def test_every_conv_in_every_dimension(conv, shape):
    cfg = compose([f"conv={conv}", "backbone.plan=[4,M,6]"])
    model, _ = check_model(cfg, shape, 5)
    assert model.backbone.out_shape[-1] == 6
    assert len(model.backbone.out_shape) == len(shape)


def run(call, tmp_path, *overrides):
    call("train", *FAST, *overrides, f"output={tmp_path}")
    [result] = tmp_path.glob("*/*/result.json")
    figures = {figure.stem for figure in result.parent.glob("figures/*.png")}
    assert "curves" in figures and len(figures) == 2
    return json.loads(result.read_text())


# What the networks are given, and a smaller set of the same kind.
SEEN = {
    "fashion_mnist": ((28, 28, 1), 10), "mnist1d": ((40, 1), 10), "digits": ((8, 8, 1), 10),
    "quadratic": ((64, 1), 2), "scattered_digits": ((24, 24, 1), 10),
    "fashion_sequence": ((784, 1), 10), "stdlib_bytes": ((4096,), 256),
}  # fmt: skip
SMALL = {
    "fashion_mnist": ["data=fake", "data.shape=[8,8,1]"],
    "mnist1d": [],
    "digits": [],
    "quadratic": ["data.test_size=100"],
    "scattered_digits": ["data.train_size=40", "data.test_size=20"],
    "recall": ["data.length=32", "data.train_size=40", "data.test_size=20", "data.val_fraction=0"],
    "fashion_sequence": ["data=fake", "data.shape=[16,1]"],
    "stdlib_bytes": ["data.length=64"],
}
THIN = ["backbone.width=2", "backbone.depth=1"]  # of gated models  # fmt: skip


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_preset_runs(experiment, call, tmp_path):
    """Its network is built at its size, as shapes only, and a thin one of its kind is trained."""
    cfg = compose([f"experiment={experiment}"])
    head = (CONFIGS / "experiment" / f"{experiment}.yaml").read_text().split("\n\n")[0]
    for word in ("python -m experiments.train", "Time:", "Score:"):
        assert word in head, f"the head of the preset lacks {word!r}"
    name = cfg.data._target_.rpartition(".")[2]
    if name == "recall":
        SEEN[name] = ((cfg.data.length,), cfg.data.vocabulary)
    shape, classes = SEEN[name]
    tokens = classes if len(shape) == 1 else None
    positions = () if cfg.head.pool != "none" else shape if tokens else shape[:-1]
    check_model(cfg, shape, classes, positions, tokens)
    if experiment == "million":
        return  # a thin one is that of `recall`
    small = (
        SMALL[name]
        + THIN * (cfg.backbone._target_ == "cnnlab.models.SequenceModel")
        + (["backbone.plan=[4,M,6]"] if len(cfg.backbone.get("plan", ())) > 2 else [])
    )
    result = run(call, tmp_path, f"experiment={experiment}", *small)
    [score] = {"accuracy", "bits_per_byte", "f1", "mean_iou", "r2"} & {
        key.removeprefix("best_validation_") for key in result
    }
    most = 12 if score == "bits_per_byte" else 1
    assert result["steps"] == 4 and result[f"test_{score}"] <= most


def test_the_issue_of_dimension_is_the_data_sets(call, tmp_path):
    overrides = "backbone=vgg11 backbone.plan=[8,M] conv=depthwise_separable data=mnist1d"
    result = run(call, tmp_path, *overrides.split(), "optimizer=adamw", "steps=1")
    assert result["data"] == "mnist1d" and result["steps"] == 1


def test_overfit_one_batch_to_zero_loss(call, tmp_path):
    arguments = ["debug=overfit", "data=digits", "backbone.plan=[16,M,32]", "batch_size=16"]
    call("train", *arguments, f"output={tmp_path}", "progress=false")
    [metrics] = tmp_path.glob("*/*/metrics.jsonl")
    last = [json.loads(line) for line in metrics.read_text().splitlines()][-2]
    assert last["kind"] == "train" and last["loss"] < 0.01 and last["accuracy"] == 1.0


def test_profile_leaves_a_trace(call, tmp_path):
    arguments = ["debug=profile", "data=fake", "backbone.plan=[4]", "batch_size=16", "norm=none"]
    call("train", *arguments, f"output={tmp_path}", "progress=false")
    assert list(tmp_path.glob("*/*/profile/**/*perfetto_trace.json.gz"))
