"""Train a network and test it, from a config."""

import sys
from typing import TYPE_CHECKING

from cnnlab.config import cli
from cnnlab.console import narrate
from experiments.compare import conclude

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from collections.abc import Callable

    from omegaconf import DictConfig

    from cnnlab.train import Experiment
    from cnnlab.train.result import Result


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], Experiment]":
    """What tries out a sweep's jobs before the first one starts."""
    from cnnlab.config import Rehearsal

    return Rehearsal(configs)


@cli(
    "train",
    rehearsal=rehearsal,
    conclude=conclude,
    examples=(
        "backbone=vgg11 conv=depthwise_separable data=mnist1d optimizer=adamw epochs=5",
        "experiment=vgg_fashion seed=1",
        "-m conv=dense,depthwise_separable seed=0,1,2 epochs=2",
    ),
)
def main(cfg: "DictConfig") -> "Result | None":
    """Train, test, and write a run directory; the same command resumes or says it is complete."""
    from cnnlab.config import build, launched

    if launched(cfg):
        return None
    narrate()
    return run(build(cfg))


def run(experiment: "Experiment") -> "Result":
    """Run it. Before, a line with the data, one with its length, and one for each setting without
    effect; after it, one with the result and one with where it is."""
    from cnnlab.train.scores import shown

    if not experiment.runtime.processes.first:
        return experiment.run()
    data, settings, folder = experiment.data, experiment.settings, experiment.directory.path
    sizes = f"{len(data.train):,} + {len(data.val):,} + {len(data.test):,} examples"
    print(
        f"data {data.name}: {sizes} (training, validation, test) {data.origin}\n"
        f"{settings.steps:,} steps of {settings.batch_size} on "
        f"{len(experiment.runtime.devices)} x {experiment.runtime.devices[0].device_kind}, "
        f"run directory {folder}",
        file=sys.stderr,
    )
    for remark in experiment.remarks:
        print(f"note: {remark}", file=sys.stderr)
    known = experiment.directory.complete() and not settings.force
    result = experiment.run()
    if known:
        print("this config is complete; force=true runs it again")
    single = {"single view": result[f"test_{experiment.judge}_single_view"]}
    tta = "" if settings.tta == "none" else f"{shown(single)}, "
    print(
        f"test {shown({name: result[f'test_{name}'] for name in (*experiment.metrics, 'loss')})}  "
        f"({tta}n = {result['test_examples']}, {result['parameters']:,} parameters, "
        f"{result['steps']} steps in {result['train_seconds']:.0f} s, "
        f"peak memory {result['peak_memory_mb']} MB)"
    )
    print(f"run directory {folder}")
    return result


if __name__ == "__main__":
    main()
