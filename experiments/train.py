"""Train a network and test it, from a config."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from collections.abc import Callable

    from omegaconf import DictConfig


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], None]":
    """What tries out a sweep's jobs before the first one starts."""
    from cnnlab.config import Rehearsal

    return Rehearsal(configs)


@cli(
    "train",
    rehearsal=rehearsal,
    examples=(
        "backbone=vgg11 conv=depthwise_separable data=mnist1d optimizer=adamw epochs=5",
        "experiment=vgg_fashion seed=1",
        "-m conv=dense,depthwise_separable seed=0,1,2 epochs=2",
    ),
)
def main(cfg: "DictConfig") -> None:
    """Train, test, and write a run directory; the same command resumes or says it is complete."""
    from cnnlab.config import build
    from experiments._print import beginning, narrate, outcome

    narrate()
    experiment = build(cfg)
    beginning(experiment)
    known = experiment.directory.complete() and not cfg.force
    outcome(experiment, experiment.run(), known=known)


if __name__ == "__main__":
    main()
