"""Measure on this machine which algorithm is fastest, for `algorithm="auto"` to take."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from collections.abc import Callable

    from omegaconf import DictConfig


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], object]":
    """Tries out every job's model and its table."""
    from cnnlab.bench.tuning import check_table
    from cnnlab.config import Rehearsal

    tried = Rehearsal(configs)
    return lambda cfg: (check_table(cfg.table), None if cfg.grid else tried(cfg))


@cli(
    "tune",
    rehearsal=rehearsal,
    examples=("experiment=vgg_fashion", "grid=true", "backbone=vgg11 batch_size=64"),
)
def main(cfg: "DictConfig") -> None:
    """Time every algorithm on the convolutions of a training run's model; what is fastest in each
    pass is kept in the user's cache folder, and taken from then on."""
    from cnnlab.bench.grid import GRID
    from cnnlab.bench.tuning import measure_and_keep, tune
    from cnnlab.config import build

    options = {"seconds": cfg.seconds, "file": cfg.table, "show": cfg.progress}
    print(
        measure_and_keep([*GRID.values()], **options) if cfg.grid else tune(build(cfg), **options)
    )


if __name__ == "__main__":
    main()
