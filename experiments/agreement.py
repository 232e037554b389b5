"""Do all algorithms compute the same convolution? Random ones against float64, and PyTorch."""

from typing import TYPE_CHECKING

from cnnlab.config import cli

if TYPE_CHECKING:  # jax and omegaconf load when a run begins, not for --help
    from omegaconf import DictConfig

    from cnnlab.bench.agreement import Agreement, Comparison


@cli(
    "agreement",
    rehearsal=lambda _: _settings,
    examples=("", "algorithms=[winograd,fft] geometries=100 peers=[] seed=1"),
)
def main(cfg: "DictConfig") -> None:
    """Compare values and both gradients; a table, a JSON file, status 1 if a limit is broken."""
    import json

    import jax

    from cnnlab.bench.agreement import markdown
    from cnnlab.config import folder_to_write
    from cnnlab.errors import CnnlabError
    from cnnlab.files import write_atomically

    folder = folder_to_write(cfg)
    names, settings = _settings(cfg)
    lines = _run(names, settings, show=cfg.progress)
    about = (
        f"jax {jax.__version__} on {jax.devices()[0].device_kind}, float32, seed {cfg.seed}, "
        f"compiled {'as for use' if cfg.optimise else 'without optimising code'}"
    )
    text = markdown(lines, about)
    result = {"about": about, "seed": cfg.seed, "lines": [line.json() for line in lines]}
    write_atomically(folder / "agreement.json", (json.dumps(result, indent=1) + "\n").encode())
    write_atomically(folder / "agreement.md", text.encode())
    print(text, end="")
    broken = [f"{line.algorithm} ({line.which})" for line in lines if not line.holds]
    if broken:
        raise CnnlabError(f"limits broken: {', '.join(dict.fromkeys(broken))}")


def _settings(cfg: "DictConfig") -> "tuple[list[str], Comparison]":
    """The algorithms, and how to compare them; PyTorch is left out, in one line, if missing."""
    import sys

    from cnnlab.bench.agreement import QUICK, Comparison, torch_peer
    from cnnlab.bench.selection import requested_algorithms
    from cnnlab.config import ConfigError
    from cnnlab.ops import REGISTRY

    names = requested_algorithms(cfg.algorithms)
    if names is None:
        names = [n for n, a in REGISTRY.items() if a.unavailable() is None]
    for name in names:
        if (reason := REGISTRY[name].unavailable()) is not None:
            raise ConfigError(f"algorithms: {name}: {reason}")
    peers = {}
    for name in cfg.peers:
        try:
            peers[name] = torch_peer()
        except (ImportError, OSError) as error:
            print(f"not compared with torch: {error}", file=sys.stderr)
    options = {} if cfg.optimise else QUICK
    return names, Comparison(cfg.geometries, peers, cfg.peer_geometries, cfg.seed, options)


def _run(names: list[str], settings: "Comparison", *, show: bool) -> "list[Agreement]":
    """All comparisons, under a progress bar."""
    from cnnlab.bench.agreement import compare
    from cnnlab.console import Bar

    done: list[Agreement] = []
    with Bar(show=show) as bar:
        bar.start(0, len(names) * settings.geometries)
        for number, name in enumerate(names):
            lines: list[Agreement] = []
            for compared, lines in enumerate(compare(name, settings), 1):
                worst = max(line.worst / line.limit for line in lines)
                text = f"{name}, {worst:.0%} of the limit"
                bar.update(number * settings.geometries + compared, text)
            done += lines
    return done


if __name__ == "__main__":
    main()
