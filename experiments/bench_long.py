"""How fast are long causal convolutions, beside jnp.fft and torch.fft."""

import functools
from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from cnnlab.ops import Problem


@cli(
    "bench_long",
    rehearsal=lambda _: _work,
    examples=("", "longest=65536 passes=[forward]", "cases=1024 seconds=0.1"),
)
def main(cfg: "DictConfig") -> None:
    """Check that all agree, then time them, taking turns; a table, a JSON file and a figure.

    A case that the JSON file has is not measured again: an interrupted command goes on.
    """
    import sys

    from cnnlab.bench import long, long_report
    from cnnlab.bench.contenders import torch_missing
    from cnnlab.bench.measurements import Settings, code, conditions, machine
    from cnnlab.bench.results import Job, Results
    from cnnlab.config import folder_to_write
    from cnnlab.files import write_atomically

    folder, passes, seconds = folder_to_write(cfg), tuple(cfg.passes), float(cfg.seconds)
    missing = torch_missing()
    if missing:
        print(f"no columns of torch: {missing}", file=sys.stderr)
    settings = Settings(passes, None, () if missing else ("torch",), seconds, cfg.seed)
    results = Results(folder / "bench_long.json", machine(), force=cfg.force)

    def measured(problem: "Problem") -> dict[str, object]:
        return {"passes": long.measure(problem, passes, not missing, seconds, cfg.seed)}

    work = _work(cfg)
    jobs = {
        name: Job(conditions(problem, settings), functools.partial(measured, problem))
        for name, problem in work.items()
    }
    results.fill(jobs, show=cfg.progress)
    cases = {name: results.current(code())[name] for name in work}
    text = long_report.markdown(results.machine, cases, passes)
    write_atomically(folder / "bench_long.md", text.encode())
    print(text, end="")
    drawn = long_report.figure(cases, passes, folder / "bench_long.png")
    print(", ".join(map(str, (folder / "bench_long.md", results.path, drawn))))


def _work(cfg: "DictConfig") -> "dict[str, Problem]":
    """What is to be measured, by name."""
    from cnnlab.bench.long import grid
    from cnnlab.config import ConfigError

    every = grid(cfg.longest)
    wanted = "" if cfg.cases is None else str(cfg.cases)
    found = {name: problem for name, problem in every.items() if wanted in name}
    if not found:
        raise ConfigError(f"cases: none of the {len(every)} names contains {wanted!r}")
    return found


if __name__ == "__main__":
    main()
