"""Config to objects: a data set, a model, an optimizer and how to run them."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.random as jr
import numpy as np
import optax
from jaxtyping import PRNGKeyArray, PyTree
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnlab.config.compose import check_config
from cnnlab.config.hashing import config_hash
from cnnlab.config.instantiate import instantiate
from cnnlab.config.networks import build_model, check_model
from cnnlab.config.tree import plain
from cnnlab.data import Dataset, Split, loader
from cnnlab.errors import ConfigError
from cnnlab.models import Classifier
from cnnlab.train import optim
from cnnlab.train.duration import UNITS, to_steps
from cnnlab.train.effects import check_effects
from cnnlab.train.experiment import Experiment
from cnnlab.train.loop import Plan
from cnnlab.train.parallel import Runtime
from cnnlab.train.programs import keep_programs
from cnnlab.train.rundir import RunDirectory
from cnnlab.train.step import make_prepare

# What a run's numbers do not depend on: the same run is found with other values of these.
UNHASHED = (
    *("name", "output", "seed", "force", "progress", "logger", "eval_batch_size", "profile"),
    *("data.placement", "data.workers", "data.data_dir", "data.source", "data.cache"),
    "augment.alternating_flip.seed",
)
# Where weights are loaded from: they count themselves.
LOADED = ("run", "checkpoint")


def build(cfg: DictConfig | Mapping[str, Any]) -> Experiment:
    """Everything that a config describes, ready to `run()` or to take apart.

    **Arguments:** `cfg`, from `cnnlab.compose([...])`, or a plain dict; it is checked again.

    **Raises:** `ConfigError` (a `ValueError`) with the config key, before any work is done.
    """
    cfg = check_config(cfg)
    runtime, data = prologue(cfg)
    model, model_state, key = initial(cfg, data)
    return assemble(cfg, runtime, data, model, model_state, key=key)


def initial(cfg: DictConfig, data: Dataset) -> tuple[Classifier, eqx.nn.State, PRNGKeyArray]:
    """The untrained model of a config for a data set, its state, and the key of what follows."""
    check_model(cfg, data.input_shape, data.num_classes)
    model_key, key = jr.split(jr.key(cfg.seed))
    model, state = build_model(cfg, data.input_shape, data.num_classes, key=model_key)
    return model, state, key


def assemble(
    cfg: DictConfig,
    runtime: Runtime,
    data: Dataset,
    model: Classifier,
    model_state: eqx.nn.State,
    *,
    key: PRNGKeyArray,
    trainable: PyTree | None = None,
    weights: str = "",
) -> Experiment:
    """An experiment around a given model: `build` without building the model.

    **Arguments:** `trainable`, a tree of booleans over the parameters (`models.freeze`);
    `weights`, what stands for the weights that the model begins with, where they are loaded.
    """
    with refusing():
        batches = loader(data.train, cfg.batch_size, seed=cfg.seed)
        per_epoch = batches.steps_per_epoch
        plan = _plan(cfg, per_epoch)
        transforms = _named(cfg, "augment")
        for name, transform in zip(cfg.augment, transforms, strict=True):
            with refusing(f"augment.{name}."):
                transform.check(data.input_shape[:-1])
        check_effects(cfg, plan, transforms, validation=len(data.val))
        prepare = make_prepare(
            mean=data.mean,
            std=data.std,
            num_classes=data.num_classes,
            transforms=transforms,
            label_smoothing=cfg.label_smoothing,
            steps_per_epoch=per_epoch,
        )
        optimizer = optim.assemble(
            _rule(cfg, plan.steps, per_epoch),
            clip_norm=cfg.clip_norm,
            accumulate=cfg.accumulate,
            steps=plan.steps,
            trainable=trainable,
        )
    return Experiment(
        config=plain(cfg, resolve=True),
        config_yaml=OmegaConf.to_yaml(cfg, resolve=True),
        directory=run_directory(cfg, data=data.fingerprint, weights=weights),
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


def run_directory(cfg: DictConfig, **contents: str) -> RunDirectory:
    """Where a config's run is: the same for the same config, seed and contents.

    **Arguments:** `contents`, what stands for the content of files that the run reads, if it does:
    `data` (`Dataset.fingerprint`) and `weights`; their places do not count.
    """
    made_of = {name: content for name, content in contents.items() if content}
    places = LOADED if "weights" in made_of else ()
    values = plain(cfg, resolve=True)
    hashed = config_hash({**values, **({"made_of": made_of} if made_of else {})}, UNHASHED + places)
    return RunDirectory(Path(cfg.output) / cfg.name / f"{hashed}-s{cfg.seed}")


def prologue(cfg: DictConfig, data: Dataset | None = None) -> tuple[Runtime, Dataset]:
    """Start the runtime, load the data: the first part of `build`. From here on compiled programs
    are kept (`keep_programs`).

    **Arguments:** `data`, taken instead of what the config describes; its limits still apply.
    """
    runtime = instantiate(cfg.runtime, key="runtime")
    if len(runtime.devices) == 1:  # JAX knows a partitioned foreign call by an address only
        keep_programs()
    with refusing():
        runtime.check_batch_size(cfg.batch_size)
    data = instantiate(cfg.data, key="data") if data is None else data
    return runtime, _limited(data, cfg)


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
    updates = -(-total // cfg.accumulate)
    node, given = cfg.schedule.copy(), {}
    if "warmup" in node:
        with open_dict(node):
            warmup = node.pop("warmup")
        steps = _steps(warmup, "schedule.warmup", cfg.batch_size, per_epoch) or 0
        given["warmup"] = -(-steps // cfg.accumulate)
    schedule = instantiate(node, key="schedule", **given)(updates)
    return instantiate(cfg.optimizer, key="optimizer")(schedule)


@contextmanager
def refusing(prefix: str = "") -> Iterator[None]:
    """What a config says: a ValueError's message begins with its key, after `prefix`."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from error
