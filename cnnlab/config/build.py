"""Config to objects: a data set, a model, an optimizer and how to run them."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.random as jr
import numpy as np
import optax
from jaxtyping import PRNGKeyArray, PyTree
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnlab.config.hashing import config_hash
from cnnlab.config.instantiate import instantiate
from cnnlab.config.targets import check_targets
from cnnlab.data import Dataset, Split, loader
from cnnlab.errors import ConfigError
from cnnlab.models import Classifier, Report, freeze, load_backbone, with_arrays
from cnnlab.train import optim
from cnnlab.train.checkpoint import checkpoint_path, evaluated_arrays, read
from cnnlab.train.duration import UNITS, to_steps
from cnnlab.train.experiment import Experiment
from cnnlab.train.loop import Plan
from cnnlab.train.parallel import Runtime
from cnnlab.train.predict import Predictor
from cnnlab.train.profile import Profile
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.step import make_prepare

# What a run's numbers do not depend on: the same run is found with other values of these.
UNHASHED = ("name", "output", "seed", "force", "progress", "logger", "eval_batch_size", "profile")

CHOICES = {
    "precision": ("float32", "bfloat16"),
    "tta": ("none", "flip", "shift"),
    "select": ("last", "best"),
}
RANGES = (
    ("batch_size", 1, 2**20),
    ("eval_batch_size", 1, 2**20),
    ("accumulate", 1, 2**20),
    ("limit_train", 1, 2**31),
    ("limit_eval", 1, 2**31),
    ("average", 0.0, 1.0),
    ("seed", 0, 2**31 - 1),
)


def build(cfg: DictConfig) -> Experiment:
    """Everything that a config describes, ready to `run()` or to take apart.

    **Arguments:** `cfg`, from `cnnlab.compose([...])`.

    **Raises:** `ConfigError` (a `ValueError`) with the config key, before any work is done.
    """
    runtime, data = _prologue(cfg)
    model_key, run_key = jr.split(jr.key(cfg.seed))
    model, model_state = build_model(cfg, data.input_shape, data.num_classes, key=model_key)
    return assemble(cfg, runtime, data, model, model_state, key=run_key)


def build_finetune(cfg: DictConfig) -> tuple[Experiment, Report]:
    """The backbone of a finished run under a new head, and what of it was loaded (A 4.8).

    **Arguments:** `cfg`, from `cnnlab.compose([...], "finetune")`: `run`, `checkpoint`, `freeze`
    and the keys of training.

    **Raises:** `ConfigError`; `CheckpointError` when the run has no readable checkpoint.
    """
    source = load_config(cfg.run)
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.backbone, cfg.conv, cfg.norm = source.backbone, source.conv, source.norm
    runtime, data = _prologue(cfg)
    model_key, run_key = jr.split(jr.key(cfg.seed))
    model, model_state = build_model(cfg, data.input_shape, data.num_classes, key=model_key)
    arrays, _ = read(checkpoint_path(Path(cfg.run), cfg.checkpoint))
    model, model_state, report = load_backbone(model, model_state, evaluated_arrays(arrays))
    trainable = None
    if cfg.freeze:
        # In inference mode the running statistics of the backbone stay as they are, too.
        frozen = eqx.nn.inference_mode(model.backbone)
        model = eqx.tree_at(lambda m: m.backbone, model, frozen)
        trainable = eqx.filter(freeze(model), jax.tree.map(eqx.is_inexact_array, model))
    experiment = assemble(cfg, runtime, data, model, model_state, key=run_key, trainable=trainable)
    return experiment, report


def build_model(
    cfg: DictConfig, input_shape: tuple[int, ...], num_classes: int, *, key: PRNGKeyArray
) -> tuple[Classifier, eqx.nn.State]:
    """The classifier of a config, with random weights, and its state.

    **Arguments:** `input_shape`, `(*spatial, c)` of one example.
    """
    conv = instantiate(cfg.conv, key="conv")
    norm = None if cfg.norm is None else instantiate(cfg.norm, key="norm")

    def make(key: PRNGKeyArray) -> Classifier:
        backbone_key, head_key = jr.split(key)
        backbone = instantiate(
            cfg.backbone,
            key="backbone",
            in_shape=input_shape,
            optional={"conv": conv, "norm": norm, "key": backbone_key},
        )
        head = instantiate(
            cfg.head,
            key="head",
            in_shape=backbone.out_shape,
            num_classes=num_classes,
            optional={"key": head_key},
        )
        return Classifier(backbone, head)

    # Compiled as one program: hundreds of small kernels would take longer to dispatch.
    return eqx.filter_jit(eqx.nn.make_with_state(make))(key)


def assemble(
    cfg: DictConfig,
    runtime: Runtime,
    data: Dataset,
    model: Classifier,
    model_state: eqx.nn.State,
    *,
    key: PRNGKeyArray,
    trainable: PyTree | None = None,
) -> Experiment:
    """An experiment around a given model: `build` without building the model.

    **Arguments:** `trainable`, a tree of booleans over the parameters (`models.freeze`).
    """
    with _at():
        batches = loader(data.train, cfg.batch_size, seed=cfg.seed)
        per_epoch = batches.steps_per_epoch
        plan = _plan(cfg, per_epoch)
        prepare = make_prepare(
            mean=data.mean,
            std=data.std,
            num_classes=data.num_classes,
            transforms=_named(cfg, "augment"),
            label_smoothing=cfg.label_smoothing,
            steps_per_epoch=per_epoch,
        )
        optimizer = optim.assemble(
            _rule(cfg, plan.steps, per_epoch),
            clip_norm=cfg.clip_norm,
            accumulate=cfg.accumulate,
            trainable=trainable,
        )
    return Experiment(
        config=OmegaConf.to_container(cfg, resolve=True),
        config_yaml=OmegaConf.to_yaml(cfg, resolve=True),
        directory=run_directory(cfg),
        data=data,
        model=model,
        model_state=model_state,
        runtime=runtime,
        optimizer=optimizer,
        plan=plan,
        prepare=prepare,
        train_loader=batches,
        loggers=_named(cfg, "logger"),
        key=key,
    )


def run_directory(cfg: DictConfig) -> RunDirectory:
    """Where a config's run is: the same for the same config and seed."""
    name = f"{config_hash(cfg, exclude=UNHASHED)}-s{cfg.seed}"
    return RunDirectory(Path(cfg.output) / cfg.name / name)


def load_run(run: str | Path, **changes: Any) -> Experiment:
    """The experiment of a run directory, as it was configured, to evaluate or to take apart.

    **Arguments:** `changes`, top-level keys that get another value, such as `eval_batch_size`.

    **Raises:** `ConfigError` when it is not a run directory.
    """
    cfg = load_config(run)
    cfg.update(changes)
    experiment = build(cfg)
    experiment.directory = RunDirectory(Path(run))
    return experiment


def load_predictor(run: str | Path, checkpoint: str = "last") -> Predictor:
    """The trained model of a run directory, to classify with; its data set is not needed.

    **Raises:** `ConfigError` when it is not a run directory; `CheckpointError`.
    """
    cfg = load_config(run)
    arrays, header = read(checkpoint_path(Path(run), checkpoint))
    data = header["data"]
    model, state = build_model(
        cfg, tuple(data["input_shape"]), len(data["class_names"]), key=jr.key(0)
    )
    return Predictor(*with_arrays(model, state, evaluated_arrays(arrays)), data)


def load_config(run: str | Path) -> DictConfig:
    """The resolved config of a run directory, with its targets checked.

    **Raises:** `ConfigError` when it is not a run directory.
    """
    file = RunDirectory(Path(run)).config
    if not file.is_file():
        raise ConfigError(f"run: expected a run directory with a config.yaml, got {str(run)!r}")
    cfg = OmegaConf.load(file)
    check_targets(cfg)
    return cfg


def _prologue(cfg: DictConfig) -> tuple[Runtime, Dataset]:
    """Check what can be checked without data, start the runtime, load the data."""
    for name, allowed in CHOICES.items():
        if cfg[name] not in allowed:
            raise ConfigError(f"{name}: expected one of {', '.join(allowed)}, got {cfg[name]!r}")
    for name, low, high in RANGES:
        value = cfg[name]
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name}: expected a number from {low} to {high}, got {value}")
    with _at():
        Profile(Path(), cfg.profile)
    runtime = instantiate(cfg.runtime, key="runtime")
    with _at():
        runtime.check_batch_size(cfg.batch_size)
        runtime.check_batch_size(cfg.eval_batch_size, name="eval_batch_size")
    return runtime, _limited(instantiate(cfg.data, key="data"), cfg)


def _limited(data: Dataset, cfg: DictConfig) -> Dataset:
    """The data set with the first `limit_train` and `limit_eval` examples of its splits."""

    def first(split: Split, limit: int | None) -> Split:
        return split if limit is None else split.select(np.arange(min(limit, len(split))))

    return dataclasses.replace(
        data,
        train=first(data.train, cfg.limit_train),
        val=first(data.val, cfg.limit_eval),
        test=first(data.test, cfg.limit_eval),
    )


def _named(cfg: DictConfig, group: str) -> list[Any]:
    """The objects of a group of which several can be chosen, in their order."""
    return [instantiate(node, key=f"{group}.{name}") for name, node in cfg[group].items()]


def _plan(cfg: DictConfig, per_epoch: int) -> Plan:
    def steps(name: str) -> int | None:
        return _steps(cfg[name], name, cfg.batch_size, per_epoch)

    total = to_steps(
        {unit: cfg[unit] for unit in UNITS},
        batch_size=cfg.batch_size,
        steps_per_epoch=per_epoch,
        name="duration",
    )
    return Plan(
        steps=total,
        log_every=steps("log_every"),
        evaluate_every=steps("evaluate_every"),
        checkpoint_every=steps("checkpoint_every"),
        patience=cfg.patience,
    )


def _steps(node: DictConfig, name: str, batch_size: int, per_epoch: int) -> int | None:
    """A duration's steps; `None` where all three units are null."""
    if all(node[unit] is None for unit in UNITS):
        return None
    return to_steps(node, batch_size=batch_size, steps_per_epoch=per_epoch, name=name)


def _rule(cfg: DictConfig, total: int, per_epoch: int) -> optax.GradientTransformation:
    """The optimizer with its schedule, over the updates of the whole run."""
    updates = max(1, total // cfg.accumulate)
    node, given = cfg.schedule.copy(), {}
    if "warmup" in node:
        with open_dict(node):
            warmup = node.pop("warmup")
        steps = _steps(warmup, "schedule.warmup", cfg.batch_size, per_epoch) or 0
        given["warmup"] = steps // cfg.accumulate
    schedule = instantiate(node, key="schedule", **given)(updates)
    return instantiate(cfg.optimizer, key="optimizer")(schedule)


@contextmanager
def _at() -> Iterator[None]:
    """Errors of values that stand at the top of the config: their messages begin with the key."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
