"""What the entry points say."""

import logging
import sys
from typing import Any

from cnnlab.train import Experiment


def narrate() -> None:
    """Let cnnlab's own log messages (where the data comes from) reach the terminal."""
    logger = logging.getLogger("cnnlab")
    logger.propagate = False  # some library gives the root logger a handler: once is enough
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.INFO)


def beginning(experiment: Experiment) -> None:
    """One line with the data, one with the model, and one for each setting without effect."""
    data, plan = experiment.data, experiment.plan
    sizes = f"{len(data.train):,} + {len(data.val):,} + {len(data.test):,} examples"
    print(
        f"data {data.name}: {sizes} (training, validation, test) {data.origin}\n"
        f"{plan.steps:,} steps of {experiment.train_loader.batch_size} on "
        f"{len(experiment.runtime.devices)} x {experiment.runtime.devices[0].device_kind}, "
        f"run directory {experiment.directory.path}",
        file=sys.stderr,
    )
    for remark in experiment.remarks():
        print(f"note: {remark}", file=sys.stderr)


def outcome(experiment: Experiment, result: dict[str, Any], *, known: bool) -> None:
    """One line with the result, one with where it is."""
    if known:
        print("this config is complete; force=true runs it again")
    views = experiment.config["tta"]
    tta = "" if views == "none" else f"single view {result['test_accuracy_single_view']:.4f}, "
    print(
        f"test accuracy {result['test_accuracy']:.4f}  loss {result['test_loss']:.4f}  "
        f"({tta}n = {result['test_examples']}, {result['parameters']:,} parameters, "
        f"{result['steps']} steps in {result['train_seconds']:.0f} s, "
        f"peak memory {result['peak_memory_mb']} MB)"
    )
    print(f"run directory {experiment.directory.path}")
