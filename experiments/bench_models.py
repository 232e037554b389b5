"""How fast are other people's networks: Keras, Flax, Equinox, accelerated or not, and PyTorch."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from cnnlab.bench.models.catalogue import Case
    from cnnlab.bench.results import Job


@cli(
    "bench_models",
    rehearsal=lambda _: _cases,
    examples=(
        "",
        "networks=keras batch_sizes=[16] sizes=[64]",
        "networks=WaveNet modes=[jax,accelerated] seconds=1",
    ),
)
def main(cfg: "DictConfig") -> None:
    """Compile each in every mode, check that results agree, time them in turns; tables, a chart.

    A case that the JSON file has is not measured again: an interrupted command goes on.
    """
    from cnnlab.bench.measurements import machine
    from cnnlab.bench.models.report import chart, markdown
    from cnnlab.bench.results import Results
    from cnnlab.config import folder_to_write
    from cnnlab.files import write_atomically

    folder, cases = folder_to_write(cfg), _cases(cfg)
    jobs = _jobs(cfg, cases)
    peers = ("torch", "torchvision", "keras", "flax")
    results = Results(folder / "bench_models.json", machine(peers), force=cfg.force)
    results.fill(jobs, show=cfg.progress)
    found = results.current(next(iter(jobs.values())).conditions["code"])
    text = markdown(results.machine, found)
    write_atomically(folder / "bench_models.md", text.encode())
    chart(found, folder / "bench_models.png")
    print(text, end="")
    print(", ".join(str(folder / f"bench_models.{end}") for end in ("md", "json", "png")))


def _cases(cfg: "DictConfig") -> "list[Case]":
    """The cases that are asked for, whose libraries are there."""
    from cnnlab.bench.models.catalogue import NETWORKS, cases, missing
    from cnnlab.config import ConfigError

    known = cases(list(cfg.batch_sizes), list(cfg.sizes))
    wanted = "" if cfg.networks is None else str(cfg.networks)
    found = [case for case in known if wanted in case.title]
    if not found:
        raise ConfigError(
            f"networks: none of the {len(known)} names contains {wanted!r}, as "
            f"{known[0].title!r} would"
        )
    libraries = dict.fromkeys(NETWORKS[case.network].library for case in found)
    torch = ["torch"] if any(mode.startswith("torch") for mode in cfg.modes) else []
    if package := missing([*libraries, *torch]):
        raise ConfigError(
            f"networks: {package} is not installed; it comes with the extra bench: "
            "pip install -c constraints.txt -e '.[bench]'"
        )
    return found


def _jobs(cfg: "DictConfig", cases: "list[Case]") -> "dict[str, Job]":
    import functools
    from dataclasses import asdict

    import cnnlab.accelerate
    from cnnlab import ops
    from cnnlab.bench import models
    from cnnlab.bench.models.measure import Settings, measure
    from cnnlab.bench.results import Job, fingerprint

    settings = Settings(tuple(cfg.modes), float(cfg.seconds), float(cfg.patience), cfg.seed)
    code = fingerprint(ops, cnnlab.accelerate, models)
    conditions = {**asdict(settings), "modes": list(settings.modes), "code": code}
    return {c.title: Job(conditions, functools.partial(measure, c, settings)) for c in cases}


if __name__ == "__main__":
    main()
