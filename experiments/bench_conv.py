"""How fast is each route to a convolution: cnnlab's algorithms, JAX, Equinox and PyTorch."""

import dataclasses
import functools
from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from cnnlab.bench.measurements import Settings
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

    from cnnlab.bench import report
    from cnnlab.bench.contenders import torch_missing
    from cnnlab.bench.grid import GRID
    from cnnlab.bench.measurements import code, conditions, machine, measure_convolution
    from cnnlab.bench.results import Job, Results
    from cnnlab.config import folder_to_write
    from cnnlab.files import write_atomically

    folder, settings = folder_to_write(cfg), _settings(cfg)
    work = _work(cfg, settings)
    if "torch" in cfg.peers and "torch" not in settings.peers:
        print(f"no columns of torch: {torch_missing()}", file=sys.stderr)
    results = Results(folder / "bench_conv.json", machine(), force=cfg.force)
    jobs = {
        n: Job(conditions(*job), functools.partial(measure_convolution, *job))
        for n, job in work.items()
    }
    results.fill(jobs, show=cfg.progress)
    cases = results.current(code())
    text = report.markdown(results.machine, cases, [name for name in GRID if name in cases])
    write_atomically(folder / "bench_conv.md", text.encode())
    print(text, end="")
    made = report.figures(cases, settings.passes[0], folder) if cfg.figures else []
    print(", ".join(map(str, (folder / "bench_conv.md", results.path, *made))))


def _settings(cfg: "DictConfig") -> "Settings":
    """The checked settings, without PyTorch where it cannot be measured."""
    from cnnlab.bench import contenders as routes
    from cnnlab.bench.measurements import Settings
    from cnnlab.bench.selection import requested_algorithms

    asked = requested_algorithms(cfg.algorithms)
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


if __name__ == "__main__":
    main()
