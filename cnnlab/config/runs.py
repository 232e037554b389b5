"""From a run directory back to objects: its experiment, its trained model, its backbone."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from omegaconf import DictConfig, open_dict

from cnnlab.config import kinds, objects
from cnnlab.config.compose import check_config
from cnnlab.config.networks import Network, check_model
from cnnlab.config.objects import Parts, make_experiment
from cnnlab.config.saved import read_config
from cnnlab.config.tree import plain
from cnnlab.config.trust import granted
from cnnlab.data.labels import PER_POSITION, TASKS
from cnnlab.errors import ConfigError
from cnnlab.files import JsonObject
from cnnlab.models import Report, freeze, load_backbone
from cnnlab.train.arrays import (
    Arrays,
    CheckpointError,
    arrays_digest,
    evaluated_arrays,
    with_model_arrays,
)
from cnnlab.train.checkpoint import check_run, checkpoint_path, of_file, read
from cnnlab.train.experiment import Experiment
from cnnlab.train.predict import Predictor, check_examples
from cnnlab.train.rundir import RunDirectory

# What a checkpoint says of its examples (`describe`); older ones lack the second part.
_DATA = {
    "input_shape": "list of at least 1 whole numbers from 1 to 16777216",
    "class_names": "list of at least 1 texts",
    "mean": "list of numbers",
    "std": "list of numbers > 0",
}
_MORE_DATA = {
    "name": "text",
    "high": "whole number from 1 to 65535 or null",
    "fit": "one of pad, stretch",
    "light_borders": "number from 0 to 1 or null",
    "fingerprint": "text",
    "vocabulary": "whole number from 1 to 65536",
    "task": f"one of {', '.join(TASKS)}",
    "label_mean": "list of numbers",
    "label_std": "list of numbers > 0",
}


def load_run(
    run: str | Path,
    *,
    size: Any = None,
    checkpoint: str = "last",
    data_dir: str | None = None,
    source: str | None = None,
    root: str | None = None,
    file: str | None = None,
    trust: Sequence[str] = (),
    parts: Parts = objects,
    **changes: Any,
) -> Experiment:
    """The experiment of a run directory, as it was configured, to evaluate or to take apart.

    **Arguments:**

    - `size`: another size of images, as `data.size`, where the model can take it; they are still
        normalised by the statistics that `checkpoint` holds, those of training.
    - `checkpoint`: what the config has to describe, before anything is made of it.
    - `data_dir`, `source`, `root`, `file`: where the examples are. The run's own are not followed,
        as it may come from somebody else: what it was given has to be given again.
    - `trust`: modules of your own that the run's config names: it can't grant them itself.
    - `parts`: a `Rehearsal`, for an experiment of shapes.
    - `changes`: top-level keys that get another value, such as `eval_batch_size`.

    **Raises:** `ConfigError` when it is not a run directory, has links that lead out of it, its
    examples are in a folder that is not given, or its model takes one size only;
    `CheckpointError` when there is no such checkpoint, the config describes another network, or
    the examples are others than it was trained on.
    """
    cfg, directory = load_config(run, trust), RunDirectory(Path(run))
    directory.check_links()  # what it is evaluated to is drawn there
    path, arrays, about, _ = _checkpoint(run, checkpoint, cfg)
    # Wherever it was trained: one device evaluates it.
    cfg.update({**changes, "runtime": {"_target_": "cnnlab.train.parallel.Jit"}, "logger": {}})
    _give_folders(cfg, {"data_dir": data_dir, "source": source, "root": root, "file": file})
    if size is not None:
        with open_dict(cfg):
            cfg.data.size = size
    cfg = check_config(cfg)
    runtime, data = parts.runtime_and_data(cfg)
    with of_file(path):
        check_examples(about, data, resized=size is not None)
    if size is not None:
        _network(cfg, arrays, about, data.input_shape, "data.size")
        mean, std = (np.asarray(about[key], np.float32) for key in ("mean", "std"))
        data = dataclasses.replace(data, mean=mean, std=std)
    network, key = parts.initial_model(cfg, data)
    experiment = make_experiment(cfg, runtime, data, network, key=key)
    return dataclasses.replace(experiment, place=directory.path, resized=size is not None)


def _give_folders(cfg: DictConfig, given: dict[str, str | None]) -> None:
    """Put the folders that were given into a run's config; its own are refused."""
    for name, folder in given.items():
        if folder is not None and name not in cfg.data:
            raise ConfigError(f"data.{name}: this run's data set is in no folder, got {folder!r}")
        if folder is None and cfg.data.get(name) is not None:
            own = cfg.data[name]
            raise ConfigError(
                f"data.{name}: this run's examples are in {own!r}, which its config alone does not"
                f" have read; give it again, data.{name}={own}, or another folder"
            )
        if folder is not None:
            cfg.data[name] = folder


def load_predictor(
    run: str | Path,
    checkpoint: str = "last",
    *,
    input_shape: tuple[int, ...] | None = None,
    trust: Sequence[str] = (),
) -> Predictor:
    """The trained model of a run directory, to classify with; its data set is not needed.

    **Arguments:** `input_shape`, of the examples, where not that of training; `trust`, modules of
    your own that the run's config names.

    **Raises:** `ConfigError` when it is not a run directory, or its model takes one size only;
    `CheckpointError`.
    """
    cfg = load_config(run, trust)
    _, arrays, about, network = _checkpoint(run, checkpoint, cfg)
    if input_shape is not None and input_shape != tuple(about["input_shape"]):
        network = _network(cfg, arrays, about, input_shape, "size")
    return Predictor(*network, about, input_shape=input_shape)


def _checkpoint(
    run: str | Path, which: str, cfg: DictConfig
) -> tuple[Path, Arrays, JsonObject, Network]:
    """A run's checkpoint: its file, arrays, what it knows of its examples, and its network.

    Raises `CheckpointError` unless the config describes the network whose arrays these are.
    """
    path = checkpoint_path(Path(run), which)
    arrays, header = read(path)
    about = header["data"]
    with of_file(path):
        check_run(header, plain(cfg, resolve=True))
        _check_data(about)
        network = _network(cfg, arrays, about, tuple(about["input_shape"]))
    return path, arrays, about, network


def _network(
    cfg: DictConfig, arrays: Arrays, about: JsonObject, shape: tuple[int, ...], key: str = ""
) -> Network:
    """The network of a config for examples of `shape`, with a checkpoint's arrays.

    As shapes, which the arrays fill: nothing is made as large as a config says. Raises
    `CheckpointError` where it has other arrays; at another shape than that of training,
    `ConfigError` that names the `key`.
    """
    vocabulary = about.get("vocabulary")
    spatial = shape[:-1] if vocabulary is None else shape
    positions = spatial if about.get("task") in PER_POSITION else ()
    model, state = check_model(cfg, shape, len(about["class_names"]), positions, vocabulary)
    try:
        return with_model_arrays(model, state, evaluated_arrays(arrays))
    except CheckpointError as error:
        trained = about["input_shape"]
        if list(shape) == trained:
            raise
        raise ConfigError(
            f"{key}: this run's model takes examples of {trained} only, got {list(shape)}: {error}"
        ) from error


def _check_data(data: JsonObject) -> None:
    """Raises `CheckpointError` unless a header's `data` are such as `describe` makes."""
    try:
        for name, kind in (_DATA | _MORE_DATA).items():
            if name in data or name in _DATA:
                kinds.read_value(kind, data.get(name), f"data.{name}")
        if not all(map(str.isprintable, data["class_names"])):  # they are written to terminals
            raise ConfigError("data.class_names: expected printable names")
        channels = 0 if "vocabulary" in data else data["input_shape"][-1]
        if not len(data["mean"]) == len(data["std"]) == channels:
            raise ConfigError(f"data: expected means and deviations of {channels} channels")
        numbers = [len(data.get(key, ())) for key in ("label_mean", "label_std")]
        outputs = len(data["class_names"]) if data.get("task") == "regression" else 0
        if numbers != [outputs, outputs]:
            raise ConfigError(f"data: expected means and deviations of {outputs} labels")
    except ConfigError as error:
        raise CheckpointError(f"damaged checkpoint ({error})") from error


def load_config(run: str | Path, trust: Sequence[str] = ()) -> DictConfig:
    """The resolved and checked config of a run directory.

    **Arguments:** `trust`, modules of your own that it may name: no file of a run grants that.

    **Raises:** `ConfigError` when it is not a run directory, or its `config.yaml` is damaged.
    """
    file = RunDirectory(Path(run)).config
    if not file.is_file():
        raise ConfigError(f"run: expected a run directory with a config.yaml, got {str(run)!r}")
    return read_config(file, trust)


def with_backbone(cfg: DictConfig) -> DictConfig:
    """A copy of a config of `finetune`, with the backbone that its run has."""
    source, cfg = load_config(cfg.run, granted(cfg)), cfg.copy()
    checkpoint_path(Path(cfg.run), cfg.checkpoint)
    with open_dict(cfg):
        cfg.backbone, cfg.conv, cfg.norm = source.backbone, source.conv, source.norm
    return cfg


def build_finetune(cfg: DictConfig, *, parts: Parts = objects) -> tuple[Experiment, Report]:
    """The backbone of a finished run under a new head, and what of it was loaded (A 4.8).

    **Arguments:** `cfg`, from `cnnlab.compose([...], "finetune")`: `run`, `checkpoint`, `freeze`
    and the keys of training; `parts`, a `Rehearsal`, for an experiment of shapes.

    **Raises:** `ConfigError`; `CheckpointError` when the run has no readable checkpoint.
    """
    cfg = with_backbone(check_config(cfg, "finetune"))
    _, arrays, about, _ = _checkpoint(cfg.run, cfg.checkpoint, load_config(cfg.run, granted(cfg)))
    runtime, data = parts.runtime_and_data(cfg)
    network, key = parts.initial_model(cfg, data)
    arrays = {k: v for k, v in evaluated_arrays(arrays).items() if k.startswith("backbone.")}
    model, model_state, report = load_backbone(*network, arrays)
    said = "; ".join(map(str.strip, str(report).splitlines()))
    trained, shape = list(about["input_shape"]), list(data.input_shape)
    if report.mismatched and len(trained) != len(shape):
        raise ConfigError(
            f"data: expected examples of {len(trained) - 1} spatial dimensions, as those of "
            f"{cfg.run}, {trained}, got {shape}"
        )
    if not report.matched:
        raise ConfigError(f"run: nothing in {cfg.run} fits this backbone; {said}")
    if cfg.freeze and (report.missing or report.mismatched):
        raise ConfigError(f"freeze: what was not loaded can't stay frozen; {said}; freeze=false")
    trainable = None
    if cfg.freeze:
        # In inference mode the running statistics of the backbone stay as they are, too.
        frozen = eqx.nn.inference_mode(model.backbone)
        model = eqx.tree_at(lambda m: m.backbone, model, frozen)
        trainable = eqx.filter(freeze(model), jax.tree.map(eqx.is_inexact_array, model))
    experiment = make_experiment(
        cfg, runtime, data, (model, model_state),
        key=key, trainable=trainable, made_of={"weights": arrays_digest(arrays)},
    )  # fmt: skip
    return experiment, report
