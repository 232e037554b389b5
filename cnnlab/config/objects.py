"""Config to objects: a data set, a model, an optimizer and how to run them."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import numpy as np
import optax
from jaxtyping import PRNGKeyArray, PyTree
from omegaconf import DictConfig, OmegaConf, open_dict

from cnnlab.config.check import GIVEN
from cnnlab.config.compose import check_config
from cnnlab.config.instantiate import instantiate
from cnnlab.config.messages import config_errors
from cnnlab.config.naming import run_directory
from cnnlab.config.networks import Network, build_model, check_model
from cnnlab.config.own import NOTHING_OWN, Own, contents_of_own
from cnnlab.config.several import augmentations_of, named
from cnnlab.config.targets import TARGET
from cnnlab.config.tree import plain
from cnnlab.data import Dataset, Split, loader
from cnnlab.data.loaders import DeviceLoader
from cnnlab.train import optim
from cnnlab.train.duration import UNITS, to_steps
from cnnlab.train.effects import check_effects, remarks
from cnnlab.train.experiment import Experiment
from cnnlab.train.losses import for_data
from cnnlab.train.parallel import Runtime
from cnnlab.train.programs import keep_programs
from cnnlab.train.scores import metrics_for
from cnnlab.train.settings import Settings, TracedSteps
from cnnlab.train.state import seed_keys
from cnnlab.train.step import make_prepare
from cnnlab.train.tasks import task_of


@runtime_checkable
class Parts(Protocol):
    """Where an experiment's parts come from: this module, or a `Rehearsal`, which makes shapes."""

    def runtime_and_data(self, cfg: DictConfig) -> tuple[Runtime, Dataset]: ...

    def initial_model(self, cfg: DictConfig, data: Dataset) -> tuple[Network, PRNGKeyArray]: ...


def build(
    cfg: DictConfig | Mapping[str, Any],
    *,
    model: Any = None,
    data: Any = None,
    loss: Any = None,
    optimizer: Any = None,
    metrics: Any = None,
    name: Any = None,
) -> Experiment:
    """Everything that a config describes, ready to `run()` or to take apart; what is given besides
    takes the place of what the config describes.

    The run directory is named by the content of what is given, too: values, structure and code
    (`cnnlab.content`).

    **Arguments:**

    - `cfg`: from `cnnlab.compose([...])`, or a plain dict; it is checked again.
    - `model`: any Equinox module, or it and its state, of a batch: `(x, state, *, key) -> (logits,
        state)` or `x -> logits`, as `cnnlab.fit` takes it.
    - `data`: a `Dataset`, or what `data.from_arrays` makes one of: images and labels, of which
        shares are set aside, or `{"train": (images, labels), "test": ...}`, maybe with `"val"`.
    - `loss`: `(logits, targets) ->` the loss of each example.
    - `optimizer`: of optax, instead of the config's and its schedule.
    - `metrics`: `(answers, labels) -> number` of a split, by name; more is better, the first rules.
    - `name`: what stands for content that can't be read; a new one for each change of it.

    **Raises:** `ConfigError` (a `ValueError`) with the config key or the argument, before any work
    is done.
    """
    cfg = check_config(cfg)
    own = Own(model, data, loss, optimizer, metrics)
    made_of = own.contents(name)
    runtime, examples = runtime_and_data(cfg, own.examples())
    if model is None:
        network, key = initial_model(cfg, examples)
    else:
        network, key = own.network(examples), seed_keys(cfg.seed)[1]
    return make_experiment(cfg, runtime, examples, network, key=key, own=own, made_of=made_of)


def runtime_and_data(cfg: DictConfig, data: Dataset | None = None) -> tuple[Runtime, Dataset]:
    """Start the runtime, load the data: the first part of `build`. From here on compiled programs
    are kept (`keep_programs`).

    **Arguments:** `data`, taken instead of what the config describes; its limits still apply.
    """
    runtime = instantiate(cfg.runtime, key="runtime")
    if len(runtime.devices) == 1:  # JAX knows a partitioned foreign call by an address only
        keep_programs()
    with config_errors():
        runtime.check_batch_size(cfg.batch_size)
    data = instantiate(cfg.data, key="data") if data is None else data
    return runtime, _limited(data, cfg)


def initial_model(cfg: DictConfig, data: Dataset) -> tuple[Network, PRNGKeyArray]:
    """The untrained model of a config for a data set, with its state; the key of its training."""
    check_model(cfg, data.input_shape, data.num_classes, data.positions, data.vocabulary)
    weights, training = seed_keys(cfg.seed)
    shape, classes = data.input_shape, data.num_classes
    return build_model(cfg, shape, classes, vocabulary=data.vocabulary, key=weights), training


def make_experiment(
    cfg: DictConfig,
    runtime: Runtime,
    data: Dataset,
    network: tuple[eqx.Module, eqx.nn.State],
    *,
    key: PRNGKeyArray,
    trainable: PyTree | None = None,
    own: Own = NOTHING_OWN,
    made_of: Mapping[str, str] = MappingProxyType({}),
) -> Experiment:
    """The experiment around a given model: the last part of `build`.

    **Arguments:** `trainable`, a tree of booleans over the parameters (`models.freeze`); `own`,
    what is not the config's; `made_of`, what stands for the content of parts by their names, such
    as `weights`, those that the model begins with, where they are loaded.
    """
    made_of = {"data": data.fingerprint, **contents_of_own(cfg, data), **made_of}
    task = task_of(data)
    with config_errors():
        loss = for_data(own.loss or instantiate(cfg.loss, key="loss"), data)
        metrics = metrics_for(task, own.metrics or cfg.metrics)
        augmentations, perturbations = augmentations_of(cfg, data)
        batches = loader(
            data.train,
            cfg.batch_size,
            seed=cfg.seed,
            perturbations=perturbations,
            part=runtime.part,
        )
        per_epoch = batches.steps_per_epoch
        settings = make_settings(cfg, per_epoch)
        check_effects(
            settings, [*augmentations, *perturbations], task=task, validation=len(data.val)
        )
        prepare = make_prepare(
            mean=data.mean,
            std=data.std,
            task=task,
            transforms=augmentations,
            label_smoothing=cfg.label_smoothing,
            steps_per_epoch=per_epoch,
        )
        optimizer = optim.make_optimizer(
            own.optimizer or _rule(cfg, settings, per_epoch),
            clip_norm=cfg.clip_norm,
            accumulate=settings.accumulate,
            steps=settings.steps,
            trainable=trainable,
        )
    model, model_state = network
    config = plain(cfg, resolve=True)
    described = config["backbone"] if own.model is None else {}
    given = {GIVEN: {part: made_of[part] for part in own.parts()}} if own.parts() else {}
    config |= given
    return Experiment(
        settings=settings,
        config=config,
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(config)),
        place=run_directory(cfg, **made_of),
        data=data,
        model=model,
        model_state=model_state,
        runtime=runtime,
        optimizer=optimizer,
        task=task,
        loss=loss,
        metrics=metrics,
        prepare=prepare,
        train_loader=batches,
        loggers=named(cfg, "logger"),
        key=key,
        given={n: (part, made_of[n]) for n, part in own.parts().items() if n != "data"},
        remarks=remarks(
            settings,
            resident=isinstance(batches, DeviceLoader),
            workers=data.train.workers,
            kernel_size=described.get("kernel_size"),
            conv=config["conv"][TARGET].rpartition(".")[2],
        ),
    )


def make_settings(cfg: DictConfig, steps_per_epoch: int) -> Settings:
    """The settings of a config of training, its lengths as steps."""
    values = plain(cfg, resolve=True)
    given = {f.name: values[f.name] for f in dataclasses.fields(Settings)}
    for name in ("log_every", "evaluate_every", "checkpoint_every"):
        given[name] = _steps(cfg, name, steps_per_epoch)
    if cfg.profile is not None:
        given["profile"] = TracedSteps(**values["profile"])
    given["steps"] = to_steps(
        {unit: values[unit] for unit in UNITS},
        batch_size=cfg.batch_size,
        steps_per_epoch=steps_per_epoch,
        name="duration",
    )
    return Settings(**given)


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


def _steps(cfg: DictConfig, name: str, per_epoch: int) -> int | None:
    """The steps of a duration, whose key is `name`; `None` where all three units are null."""
    node = OmegaConf.select(cfg, name)
    if all(node[unit] is None for unit in UNITS):
        return None
    return to_steps(node, batch_size=cfg.batch_size, steps_per_epoch=per_epoch, name=name)


def _rule(cfg: DictConfig, settings: Settings, per_epoch: int) -> optax.GradientTransformation:
    """The optimizer with its schedule, over the updates of the whole run."""
    updates = -(-settings.steps // settings.accumulate)
    node, given = cfg.schedule.copy(), {}
    if "warmup" in node:
        steps = _steps(cfg, "schedule.warmup", per_epoch) or 0
        given["warmup"] = -(-steps // settings.accumulate)
        with open_dict(node):
            del node["warmup"]
    schedule = instantiate(node, key="schedule", **given)(updates)
    return instantiate(cfg.optimizer, key="optimizer")(schedule)
