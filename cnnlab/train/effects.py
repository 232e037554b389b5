"""Settings that would do nothing in the run they are given to: refused, or said as it begins."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from cnnlab.data.augment import CutMix, Mixup
from cnnlab.models import VGG
from cnnlab.nn import factories
from cnnlab.train.loop import Plan

# A backbone's kernel size where none was asked for, and the convolutions that do not use it.
_KERNEL_SIZE = inspect.signature(VGG).parameters["kernel_size"].default
_OWN_KERNEL = [
    name
    for name, make in inspect.getmembers(factories, inspect.isfunction)
    if "kernel_size" in (parameters := inspect.signature(make).parameters)
    and parameters["kernel_size"].default is None
]


def check_effects(
    config: Mapping[str, Any], plan: Plan, transforms: Sequence[Any], *, validation: int
) -> None:
    """Refuse what can have no effect at all.

    **Arguments:** `config`, of a training run; `transforms`, its augmentations; `validation`, how
    many examples there are to validate on.

    **Raises:** `ValueError` that begins with the key.
    """
    if config["accumulate"] > plan.steps:
        raise ValueError(
            f"accumulate: expected at most the run's {plan.steps} batches (steps counts batches, "
            f"not updates), got {config['accumulate']}"
        )
    evaluated = {"patience": plan.patience is not None, "select": config["select"] == "best"}
    for name, asked in evaluated.items():
        if asked and not validation:
            raise ValueError(
                f"{name}: expected validation examples to judge by, this data set has none; "
                f"data.val_fraction=0.1 sets some aside"
            )
        if asked and plan.evaluate_every is None:
            raise ValueError(
                f"{name}: expected evaluations to judge by, evaluate_every has none before the "
                f"end; evaluate_every.epochs=1"
            )
    if config["profile"] is not None and config["profile"]["start"] > plan.steps:
        raise ValueError(
            f"profile.start: expected one of the run's {plan.steps} steps, "
            f"got {config['profile']['start']}"
        )
    mixing = any(isinstance(one, Mixup | CutMix) for one in transforms)
    if mixing and config["batch_size"] == 1:
        raise ValueError("batch_size: expected 2 or more, whose examples augment can mix, got 1")


def remarks(config: Mapping[str, Any], plan: Plan, *, resident: bool, workers: int) -> list[str]:
    """What the config asks for and this run will not do, each in a line.

    **Arguments:** `resident`, whether the training examples are all on the device; `workers`, the
    processes asked for to read them.
    """
    found = []
    every = plan.evaluate_every
    if plan.patience is not None and every is not None:
        evaluations = -(-plan.steps // every)
        if plan.patience >= evaluations:
            found.append(
                f"patience={plan.patience} can't stop this run, which has {evaluations} evaluations"
            )
    if config["select"] == "best" and every is not None and every >= plan.steps:
        found.append("select=best has one evaluation to choose from, the one at the end")
    if resident and workers:
        found.append(f"data.workers={workers} has nothing to read: the examples fit on the device")
    size = config["backbone"].get("kernel_size", _KERNEL_SIZE)
    conv = config["conv"]["_target_"].rpartition(".")[2]
    if size != _KERNEL_SIZE and conv in _OWN_KERNEL:
        found.append(f"backbone.kernel_size={size} changes nothing: conv={conv} does not use it")
    return found
