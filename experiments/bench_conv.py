"""How fast is each route to a convolution: cnnlab's algorithms, JAX, Equinox and PyTorch."""

import dataclasses
from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from cnnlab.bench.measurements import Results, Settings
    from cnnlab.ops import Problem


@cli(
    "bench_conv",
    rehearsal=lambda _: lambda cfg: _work(cfg, _settings(cfg)),
    examples=(
        "",
        "cases=depthwise passes=[forward]",
        "cases=1-D algorithms=[fft,fft_overlap_add] peers=[] seconds=0.1 figures=false",
    ),
)
def main(cfg: "DictConfig") -> None:
    """Check that all agree, then time them; a table, a JSON file and two figures.

    A case that the JSON file has is not measured again: an interrupted command goes on.
    """
    import sys
    from pathlib import Path

    from cnnlab.bench import report
    from cnnlab.bench.contenders import torch_missing
    from cnnlab.bench.grid import GRID
    from cnnlab.bench.measurements import Results
    from cnnlab.files import write_atomically

    settings, folder = _settings(cfg), Path(cfg.output)
    work = _work(cfg, settings)
    if "torch" in cfg.peers and "torch" not in settings.peers:
        print(f"no columns of torch: {torch_missing()}", file=sys.stderr)
    results = Results(folder, force=cfg.force)
    _measure(work, results, show=cfg.progress)
    cases = results.current()
    text = report.markdown(results.machine, cases, [name for name in GRID if name in cases])
    write_atomically(folder / "bench_conv.md", text.encode())
    print(text, end="")
    made = report.figures(cases, settings.passes[0], folder) if cfg.figures else []
    print(", ".join(map(str, (folder / "bench_conv.md", results.path, *made))))


def _settings(cfg: "DictConfig") -> "Settings":
    """The checked settings, without PyTorch where it cannot be measured."""
    from cnnlab.bench import contenders as routes
    from cnnlab.bench.asked import asked_algorithms
    from cnnlab.bench.measurements import Settings

    asked = asked_algorithms(cfg.algorithms)
    algorithms = None if asked is None else tuple(asked)
    passes, peers = tuple(cfg.passes), tuple(cfg.peers)
    if routes.torch_missing():
        peers = tuple(p for p in peers if p != "torch")
    return Settings(passes, algorithms, peers, float(cfg.seconds), cfg.seed)


def _work(cfg: "DictConfig", settings: "Settings") -> "dict[str, tuple[Problem, Settings]]":
    """What is to be measured how: the grid, then the points of the sweeps."""
    from cnnlab.bench.grid import CHANNELS, GRID, KERNEL_SIZES, title
    from cnnlab.config import ConfigError

    work = {name: (problem, settings) for name, problem in GRID.items()}
    if cfg.figures:
        once = dataclasses.replace(settings, passes=settings.passes[:1])
        for sweep in (*KERNEL_SIZES.values(), CHANNELS):
            for problem in sweep.values():
                work.setdefault(title(problem), (problem, once))
    wanted = "" if cfg.cases is None else str(cfg.cases)
    found = {name: job for name, job in work.items() if wanted in name}
    if not found:
        raise ConfigError(
            f"cases: none of the {len(work)} names contains {wanted!r}, as "
            f"{next(iter(GRID))!r} would"
        )
    return found


def _measure(
    work: "dict[str, tuple[Problem, Settings]]", results: "Results", *, show: bool
) -> None:
    """Measure what the file does not have yet, and keep it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from cnnlab.bench.measurements import measure

    console = Console(stderr=True, soft_wrap=True)
    columns = (
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    todo = {name: job for name, job in work.items() if not results.has(name, *job)}
    if show and len(todo) < len(work):
        console.print(
            f"{len(work) - len(todo)} of {len(work)} cases are there already", highlight=False
        )
    with Progress(*columns, console=console, disable=not (show and console.is_terminal)) as bar:
        task = bar.add_task("", total=len(todo))
        for name, job in todo.items():
            bar.update(task, description=name)
            results.add(name, measure(*job))
            bar.advance(task)
            if show and not console.is_terminal:
                console.print(name, highlight=False)


if __name__ == "__main__":
    main()
