"""Runs beside each other: settings by their mean over seeds, differences, seeds that would tell."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from cnnlab.config.job import Outcome
    from cnnlab.lab import Comparison


@cli(
    "compare",
    examples=("runs=outputs/train", "runs=[outputs/train,outputs/fashion] metric=test_loss"),
)
def main(cfg: "DictConfig") -> "Comparison":
    """Compare complete runs and write a table, a picture and a page."""
    from cnnlab.config import folder_to_write
    from cnnlab.lab import compare_runs

    folder = folder_to_write(cfg)
    runs = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    comparison = compare_runs(runs, metric=cfg.metric)
    print(comparison)
    print(f"page {comparison.write(folder)}")
    return comparison


def conclude(folder: Path, outcomes: "list[Outcome]") -> None:
    """What is shown at the end of a sweep: its runs beside each other, where there are several;
    those of a search by the score that it searched by."""
    from cnnlab.lab import compare_runs

    runs = [outcome.run for outcome in outcomes if outcome.state == "done" and outcome.run]
    if len(set(runs)) > 1:
        searched = any(line.startswith("+logger.trial=") for o in outcomes for line in o.overrides)
        comparison = compare_runs(runs, metric="validation" if searched else None)
        print(comparison)
        print(f"page {comparison.write(folder)}")


if __name__ == "__main__":
    main()
