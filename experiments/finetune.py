"""A trained backbone under a new head, frozen or not (chapter A, 4.8)."""

from typing import TYPE_CHECKING

from cnnlab.config import cli
from cnnlab.console import narrate
from experiments.compare import conclude
from experiments.train import rehearsal, run

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from cnnlab.train.result import Result


@cli(
    "finetune",
    rehearsal=rehearsal,
    conclude=conclude,
    examples=(
        "run=outputs/... data=mnist",
        "run=outputs/... data=digits freeze=false head=mlp epochs=10 optimizer.lr=0.01",
    ),
)
def main(cfg: "DictConfig") -> "Result | None":
    """Load a run's backbone by name, put a new head on it, and train."""
    from cnnlab.config import build_finetune, launched

    if launched(cfg):
        return None
    narrate()
    experiment, loaded = build_finetune(cfg)
    if experiment.runtime.processes.first:
        print(loaded)
    return run(experiment)


if __name__ == "__main__":
    main()
