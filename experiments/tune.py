"""Measure on this machine which algorithm is fastest, for `algorithm="auto"` to take."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from collections.abc import Callable

    from omegaconf import DictConfig

    from cnnlab.ops import Problem
    from cnnlab.ops.table import Table


def rehearsal(configs: "list[DictConfig]") -> "Callable[[DictConfig], object]":
    """Tries out every job's model and its table."""
    from cnnlab.config import Rehearsal

    tried = Rehearsal(configs)
    return lambda cfg: (_table(cfg), None if cfg.grid else tried(cfg))


@cli(
    "tune",
    rehearsal=rehearsal,
    examples=("experiment=vgg_fashion", "grid=true", "backbone=vgg11 batch_size=64"),
)
def main(cfg: "DictConfig") -> None:
    """Time every algorithm on the convolutions of a training run's model; what is fastest in each
    pass is kept in the user's cache folder, and taken from then on."""
    from cnnlab.ops import REFERENCE, table

    platform, given = _table(cfg)
    problems = _problems(cfg)
    entries = _measure(problems, cfg.seconds, show=cfg.progress)
    file = table.remember(entries, platform, given)
    for line, passes in entries.items():
        best = (f"{name} {min(times, key=times.__getitem__)}" for name, times in passes.items())
        against = sum(times[REFERENCE] for times in passes.values())
        taken = sum(min(times.values()) for times in passes.values())
        print(f"{line}: {', '.join(best)} ({against / taken:.1f}x as fast as {REFERENCE})")
    print(file)


def _table(cfg: "DictConfig") -> tuple[str, Path | None]:
    """The platform and the file of the table, if that can be written."""
    import jax

    from cnnlab.errors import CnnlabError, ConfigError
    from cnnlab.ops import table

    platform = jax.default_backend()
    given = None if cfg.table is None else Path(cfg.table)
    try:
        table.writable(platform, given)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        raise (ConfigError(f"table: {reason}") if given else CnnlabError(reason)) from None
    return platform, given


def _problems(cfg: "DictConfig") -> "list[Problem]":
    from cnnlab.bench.grid import GRID
    from cnnlab.bench.tuning import convolutions
    from cnnlab.config import build

    if cfg.grid:
        return list(GRID.values())
    experiment = build(cfg)
    shape = experiment.data.input_shape
    return convolutions(experiment.model, shape, cfg.batch_size, experiment.model_state)


def _measure(problems: "list[Problem]", seconds: float, *, show: bool) -> "Table":
    from rich.console import Console
    from rich.progress import track

    from cnnlab.bench.tuning import measure_algorithms
    from cnnlab.ops.table import key

    console = Console(stderr=True)
    steps = track(problems, "tuning", console=console, disable=not show)
    return {key(problem): measure_algorithms(problem, seconds=seconds) for problem in steps}


if __name__ == "__main__":
    main()
