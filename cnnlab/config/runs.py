"""From a run directory back to objects: its experiment, its trained model, its backbone."""

import dataclasses
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnlab.config import kinds
from cnnlab.config.compose import check_config
from cnnlab.config.networks import build_model, check_model, try_model
from cnnlab.config.objects import assemble, build, prologue
from cnnlab.config.saved import read_config
from cnnlab.errors import ConfigError
from cnnlab.models import Classifier, Report, freeze, load_backbone
from cnnlab.train.arrays import (
    Arrays,
    CheckpointError,
    arrays_digest,
    evaluated_arrays,
    with_model_arrays,
)
from cnnlab.train.checkpoint import check_run, checkpoint_path, of_file, read
from cnnlab.train.experiment import Experiment
from cnnlab.train.predict import Predictor
from cnnlab.train.rundir import RunDirectory

_DATA = {
    "input_shape": "list of at least 2 whole numbers from 1 to 65536",
    "class_names": "list of at least 1 texts",
    "mean": "list of numbers",
    "std": "list of numbers > 0",
}


def load_run(
    run: str | Path, *, size: Any = None, checkpoint: str = "last", **changes: Any
) -> Experiment:
    """The experiment of a run directory, as it was configured, to evaluate or to take apart.

    **Arguments:**

    - `size`: another size of images, as `data.size`, where the model can take it; they are still
        normalised by the statistics that `checkpoint` holds, those of training.
    - `changes`: top-level keys that get another value, such as `eval_batch_size`.

    **Raises:** `ConfigError` when it is not a run directory, has links that lead out of it, or its
        model takes one size only.
    """
    cfg, directory = load_config(run), RunDirectory(Path(run))
    directory.check_links()  # what it is evaluated to is drawn there
    # Wherever it was trained: one device evaluates it.
    cfg.update({**changes, "runtime": {"_target_": "cnnlab.train.parallel.Jit"}, "logger": {}})
    if size is not None:
        with open_dict(cfg):
            cfg.data.size = size
    experiment = build(cfg)
    experiment.directory = directory
    if size is not None:
        _, arrays, header = _checkpoint(run, checkpoint, cfg)
        about = header["data"]
        _check_data(about)
        shapes = experiment.data.input_shape, tuple(about["input_shape"])
        _filled(experiment.model, experiment.model_state, arrays, "data.size", *shapes)
        mean, std = (np.asarray(about[key], np.float32) for key in ("mean", "std"))
        experiment.data = dataclasses.replace(experiment.data, mean=mean, std=std)
        experiment.resized = True
    return experiment


def load_predictor(
    run: str | Path, checkpoint: str = "last", *, input_shape: tuple[int, ...] | None = None
) -> Predictor:
    """The trained model of a run directory, to classify with; its data set is not needed.

    **Arguments:** `input_shape`, of the examples, where not that of training.

    **Raises:** `ConfigError` when it is not a run directory, or its model takes one size only;
    `CheckpointError`.
    """
    cfg = load_config(run)
    path, arrays, header = _checkpoint(run, checkpoint, cfg)
    data = header["data"]
    with of_file(path):
        _check_data(data)
        trained, classes = tuple(data["input_shape"]), len(data["class_names"])
        shape = input_shape or trained
        # As shapes, which the arrays fill: nothing is made as large as a config says.
        model, state = check_model(cfg, shape, classes)
        found = _filled(model, state, arrays, "size", shape, trained)
        return Predictor(*found, data, input_shape=shape)


def _check_data(data: dict[str, Any]) -> None:
    """Raises `CheckpointError` unless a header's `data` are such as `describe` makes."""
    try:
        for name, kind in _DATA.items():
            kinds.read(kind, data.get(name), f"data.{name}")
        if not all(map(str.isprintable, data["class_names"])):  # they are written to terminals
            raise ConfigError("data.class_names: expected printable names")
        channels = data["input_shape"][-1]
        if not len(data["mean"]) == len(data["std"]) == channels:
            raise ConfigError(f"data: expected means and deviations of {channels} channels")
    except ConfigError as error:
        raise CheckpointError(f"damaged checkpoint ({error})") from error


def _checkpoint(run: str | Path, which: str, cfg: DictConfig) -> tuple[Path, Arrays, Any]:
    """The file of a run's checkpoint, its arrays and header, if it is of the run's network."""
    path = checkpoint_path(Path(run), which)
    arrays, header = read(path)
    with of_file(path):
        check_run(header, OmegaConf.to_container(cfg, resolve=True))
    return path, arrays, header


def _filled(
    model: Classifier,
    state: eqx.nn.State,
    arrays: Arrays,
    key: str,
    shape: tuple[int, ...],
    trained: tuple[int, ...],
) -> tuple[Classifier, eqx.nn.State]:
    """The model with a checkpoint's arrays, if it has the same ones for examples of `shape`."""
    try:
        return with_model_arrays(model, state, evaluated_arrays(arrays))
    except CheckpointError as error:
        if shape == trained:
            raise
        raise ConfigError(
            f"{key}: this run's model takes examples of {list(trained)} only, got {list(shape)}:"
            f" {error}"
        ) from error


def load_config(run: str | Path) -> DictConfig:
    """The resolved and checked config of a run directory.

    **Raises:** `ConfigError` when it is not a run directory, or its `config.yaml` is damaged.
    """
    file = RunDirectory(Path(run)).config
    if not file.is_file():
        raise ConfigError(f"run: expected a run directory with a config.yaml, got {str(run)!r}")
    return read_config(file)


def with_backbone(cfg: DictConfig) -> DictConfig:
    """A copy of a config of `finetune`, with the backbone that its run has."""
    source, cfg = load_config(cfg.run), cfg.copy()
    checkpoint_path(Path(cfg.run), cfg.checkpoint)
    with open_dict(cfg):
        cfg.backbone, cfg.conv, cfg.norm = source.backbone, source.conv, source.norm
    return cfg


def build_finetune(cfg: DictConfig) -> tuple[Experiment, Report]:
    """The backbone of a finished run under a new head, and what of it was loaded (A 4.8).

    **Arguments:** `cfg`, from `cnnlab.compose([...], "finetune")`: `run`, `checkpoint`, `freeze`
    and the keys of training.

    **Raises:** `ConfigError`; `CheckpointError` when the run has no readable checkpoint.
    """
    cfg = with_backbone(check_config(cfg, "finetune"))
    runtime, data = prologue(cfg)
    model_key, run_key = jr.split(jr.key(cfg.seed))
    model, model_state = build_model(cfg, data.input_shape, data.num_classes, key=model_key)
    try_model(model, model_state)
    _, arrays, _ = _checkpoint(cfg.run, cfg.checkpoint, load_config(cfg.run))
    arrays = {k: v for k, v in evaluated_arrays(arrays).items() if k.startswith("backbone.")}
    model, model_state, report = load_backbone(model, model_state, arrays)
    if not report.matched:
        raise ConfigError(f"run: nothing in {cfg.run} fits this backbone; {report}")
    if cfg.freeze and (report.missing or report.mismatched):
        raise ConfigError(f"freeze: what was not loaded can't stay frozen; {report}; freeze=false")
    trainable = None
    if cfg.freeze:
        # In inference mode the running statistics of the backbone stay as they are, too.
        frozen = eqx.nn.inference_mode(model.backbone)
        model = eqx.tree_at(lambda m: m.backbone, model, frozen)
        trainable = eqx.filter(freeze(model), jax.tree.map(eqx.is_inexact_array, model))
    experiment = assemble(
        cfg, runtime, data, model, model_state,
        key=run_key, trainable=trainable, weights=arrays_digest(arrays),
    )  # fmt: skip
    return experiment, report
